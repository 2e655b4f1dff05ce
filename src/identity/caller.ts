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
