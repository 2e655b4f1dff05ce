/**
 * What an operation is: one row of the table that every API of this service is served from.
 * Invariant: an operation is reached through `perform` only, which decides and records; `run` may take for granted that
 * its caller is allowed to do this to the resource that `resource` names.
 */
import type { CommitChange } from "../audit/change.ts";
import type { Severity } from "../audit/entry.ts";
import type { Auditor } from "../audit/auditor.ts";
import type { Accounts } from "../identity/accounts.ts";
import type { Caller } from "../identity/caller.ts";
import type { JwtRevocations } from "../identity/jwt.ts";
import type { Project, Projects } from "../identity/projects.ts";
import type { Keyring } from "../keyring/keyring.ts";
import type { Scope } from "../policy/roles.ts";
import type { Cursors } from "./paging.ts";
import type { Secrets } from "../secrets/secrets.ts";

/** The parts that operations work with. */
export interface Services {
  readonly keyring: Keyring;
  readonly secrets: Secrets;
  readonly projects: Projects;
  readonly accounts: Accounts;
  readonly jwtRevocations: JwtRevocations;
  readonly auditor: Auditor;
  readonly cursors: Cursors;
  /** The time, milliseconds. */
  readonly now: () => number;
}

/** What an operation is about, by kind and name. */
export interface ResourceName {
  readonly kind: "key" | "secret" | "account" | "project" | "jwt";
  readonly name: string;
}

/** One call of an operation, as `run` sees it. */
export interface OperationContext {
  readonly services: Services;
  readonly caller: Caller;
  /** Commits a change with this call's audit entry. */
  readonly commit: CommitChange;
  /** The version used or made, for the audit entry of what is no change. */
  version: number;
  /** Counts and codes for the audit entry of what is no change. */
  details: Readonly<Record<string, string | number>> | undefined;
}

export interface ProjectContext extends OperationContext {
  readonly project: Project;
}

interface OperationBase<I> {
  /** The operation's one name: policy action, audit action, CLI words, SDK method, docs heading. */
  readonly id: `${string}.${string}`;
  /** What the caller must be allowed; undefined: any caller with valid credentials. */
  readonly scope: Scope | undefined;
  /** Limits the operation to some kinds of callers, whatever their scopes. */
  readonly callerKinds?: readonly Caller["kind"][];
  /** Recorded with this severity, granted or refused, and flushed to disk before the answer when CRITICAL. */
  readonly severity?: Severity;
  resource(input: I): ResourceName | undefined;
}

/** An operation on what belongs to a project. */
export interface ProjectOperation<I, O> extends OperationBase<I> {
  readonly inProject: true;
  run(context: ProjectContext, input: I): O | Promise<O>;
}

/** An operation on the service as a whole. */
export interface GlobalOperation<I, O> extends OperationBase<I> {
  readonly inProject: false;
  run(context: OperationContext, input: I): O | Promise<O>;
}

export type Operation<I, O> = ProjectOperation<I, O> | GlobalOperation<I, O>;
