/**
 * Who is asking, as the rest of the service knows it.
 * Invariant: a Caller says what was true of the account when it was looked up, at most a second ago.
 */
import { ALL_PROJECTS, type Binding } from "../policy/decide.ts";

export type AccountKind = "person" | "service";

export interface Caller {
  readonly kind: AccountKind | "jwt" | "dev" | "system" | "anonymous";
  /** Kind and name, for the audit log and the rate limiter: `service:billing`. */
  readonly label: string;
  /** The account's id, for what has one. */
  readonly accountId: string | undefined;
  readonly bindings: readonly Binding[];
  /** The id of the session, for whoever has logged in. */
  readonly sessionId?: string;
}

/** An account as the one who is asking. */
export function accountCaller(account: {
  readonly id: string;
  readonly name: string;
  readonly kind: AccountKind;
  readonly bindings: readonly Binding[];
}): Caller {
  const { kind, name, id, bindings } = account;
  return { kind, label: `${kind}:${name}`, accountId: id, bindings };
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
