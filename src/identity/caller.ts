/**
 * Who is asking, as the rest of the service knows it.
 * Invariant: a Caller says what was true of the account when it was looked up, at most a second ago.
 */
import { ALL_PROJECTS, type Binding } from "../policy/decide.ts";

export type AccountKind = "person" | "service";

export const credentialMethods = ["api_token", "login", "jwt", "issuer"] as const;

/** What a caller proved who it is with, for `whoami`: nothing is decided by it. */
export interface Credential {
  readonly method: (typeof credentialMethods)[number];
  readonly expiresAtMs: number;
  /** For a token of an external issuer: that issuer's name here, and whom the token is for. */
  readonly issuer?: string;
  readonly subject?: string;
}

export interface Caller {
  readonly kind: AccountKind | "external" | "jwt" | "dev" | "system" | "anonymous";
  /** Kind and name, for the audit log and the rate limiter: `service:billing`. */
  readonly label: string;
  /** The account's id, for what has one. */
  readonly accountId: string | undefined;
  readonly bindings: readonly Binding[];
  /** The id of the session, for whoever has logged in. */
  readonly sessionId?: string;
  /** Absent where none were asked for. */
  readonly credential?: Credential;
}

/** An account as the one who is asking. */
export function accountCaller(
  account: {
    readonly id: string;
    readonly name: string;
    readonly kind: AccountKind;
    readonly bindings: readonly Binding[];
  },
  credential: Credential,
): Caller {
  const { kind, name, id, bindings } = account;
  return { kind, label: `${kind}:${name}`, accountId: id, bindings, credential };
}

/** Whoever comes without credentials in dev mode: an admin of every project, who still cannot export a key. */
export const devCaller: Caller = {
  kind: "dev",
  label: "dev:dev",
  accountId: undefined,
  bindings: [{ id: "dev", role: "admin", project: ALL_PROJECTS }],
};

/** Whoever came without valid credentials. */
export const anonymousCaller: Caller = {
  kind: "anonymous",
  label: "anonymous",
  accountId: undefined,
  bindings: [],
};

/** The service itself. */
export const systemCaller: Caller = {
  kind: "system",
  label: "system:keystead",
  accountId: undefined,
  bindings: [],
};
