/**
 * What an operation is: one row of the table that every API of this service is served from.
 * Invariant: an operation is reached through `perform` only, which decides and records; `run` may take for granted that
 * its caller is allowed to do this to the resource that `resource` names. Only a mutation can commit a change, and each
 * mutation says how it is answered when it comes again under its idempotency key.
 */
import type { CommitChange } from "../audit/change.ts";
import type { Severity } from "../audit/entry.ts";
import type { Auditor } from "../audit/auditor.ts";
import { KeysteadError } from "../errors.ts";
import type { Credentials } from "../credentials/credentials.ts";
import type { Accounts } from "../identity/accounts.ts";
import type { Caller } from "../identity/caller.ts";
import type { ClientAccounts } from "../identity/client-accounts.ts";
import type { Clients } from "../identity/clients.ts";
import type { JwtRevocations } from "../identity/jwt.ts";
import type { Logins } from "../identity/logins.ts";
import type { Passwords } from "../identity/passwords.ts";
import type { Project, Projects } from "../identity/projects.ts";
import type { Sessions } from "../identity/sessions.ts";
import type { SigningKeys } from "../identity/signing-keys.ts";
import type { Signups } from "../identity/signups.ts";
import type { Keyring } from "../keyring/keyring.ts";
import type { Resource } from "../policy/decide.ts";
import type { OwnRoles, Scope } from "../policy/roles.ts";
import type { IssuerBook } from "../identity/issuer-book.ts";
import type { RoleBook } from "../identity/role-book.ts";
import type { Cursors } from "./paging.ts";
import type { BarrierKeys } from "../seal/barrier-keys.ts";
import type { Secrets } from "../secrets/secrets.ts";

/** The parts that operations work with. */
export interface Services {
  readonly keyring: Keyring;
  readonly secrets: Secrets;
  readonly credentials: Credentials;
  readonly projects: Projects;
  readonly accounts: Accounts;
  readonly clients: Clients;
  readonly clientAccounts: ClientAccounts;
  /** When data encryption keys that are handed out rotate by themselves; undefined: never. */
  readonly dekRotationDays: number | undefined;
  readonly roles: RoleBook;
  readonly issuers: IssuerBook;
  /** All operations that are served, by their ids. */
  readonly operations: ReadonlyMap<string, OperationFacts>;
  readonly jwtRevocations: JwtRevocations;
  readonly passwords: Passwords;
  readonly sessions: Sessions;
  readonly signups: Signups;
  readonly signingKeys: SigningKeys;
  readonly logins: Logins;
  readonly barrierKeys: BarrierKeys;
  readonly auditor: Auditor;
  readonly cursors: Cursors;
  /** The time, milliseconds. */
  readonly now: () => number;
}

/** What an operation is about, by kind and name. */
export interface ResourceName {
  readonly kind:
    "key" | "secret" | "credential" | "account" | "role" | "issuer" | "project" | "jwt" | "barrier";
  readonly name: string;
}

/** One call of an operation, as `run` sees it. */
export interface OperationContext {
  readonly services: Services;
  readonly caller: Caller;
  /** The client's address. */
  readonly address: string;
  /** What it is about: for an operation that learns it on the way, and must not name what is not there. */
  resource: ResourceName | undefined;
  /** The own roles by which this call is decided. */
  readonly ownRoles: OwnRoles;
  /** Whether the caller is allowed something else besides what the operation itself asks for. */
  allows(scope: Scope, resource: Resource): boolean;
  /** The version used or made, for the audit entry of what is no change. */
  version: number;
  /** Counts and codes for the audit entry of what is no change. */
  details: Readonly<Record<string, string | number>> | undefined;
}

export interface ProjectContext extends OperationContext {
  readonly project: Project;
}

/** What a mutation's `run` has besides. */
export interface Committing {
  /** Commits a change with this call's audit entry, and remembers it under the call's idempotency key. Once a call. */
  readonly commit: CommitChange;
}

/** What is known of a change that was made under an idempotency key. */
export interface Remembered {
  /** The id of the object that the change made or updated; "" where it only removed. */
  readonly object: string;
  /** The version that was made; 0 where there is none. */
  readonly version: number;
}

interface OperationBase<I> {
  /** The operation's one name: policy action, audit action, CLI words, SDK method, docs heading. */
  readonly id: `${string}.${string}`;
  /** What the caller must be allowed; undefined: any caller with valid credentials. */
  readonly scope: Scope | undefined;
  /** The name of an account that may do this to itself without the scope. */
  ownAccount?(input: I): string;
  /** Done by whoever comes, without asking for credentials: its input holds them. */
  readonly anonymous?: true;
  /** One whose input is a password to check. */
  readonly checksPassword?: true;
  /** The input as idempotency keys remember it (a keyed hash of it), where the whole of it must not be. */
  idempotentInput?(input: I): unknown;
  /** Limits the operation to some kinds of callers, whatever their scopes. */
  readonly callerKinds?: readonly Caller["kind"][];
  /** Recorded with this severity, granted or refused, and flushed to disk before the answer when CRITICAL. */
  readonly severity?: Severity;
  resource(input: I): ResourceName | undefined;
}

/** An operation on what belongs to a project, which changes nothing. */
export interface ProjectOperation<I, O> extends OperationBase<I> {
  readonly inProject: true;
  readonly replay?: undefined;
  run(context: ProjectContext, input: I): O | Promise<O>;
}

/** An operation on the service as a whole, which changes nothing. */
export interface GlobalOperation<I, O> extends OperationBase<I> {
  readonly inProject: false;
  readonly replay?: undefined;
  run(context: OperationContext, input: I): O | Promise<O>;
}

/** A change to what belongs to a project. */
export interface ProjectMutation<I, O> extends OperationBase<I> {
  readonly inProject: true;
  run(context: ProjectContext & Committing, input: I): O | Promise<O>;
  /**
   * The answer to a call that was done before under the same idempotency key with the same input: made anew of what there
   * is now. Where the answer held a secret: `refuseReplay`; where nothing is answered: `replayNothing`.
   */
  replay(context: ProjectContext, remembered: Remembered, input: I): O | Promise<O>;
}

/** A change to the service as a whole. */
export interface GlobalMutation<I, O> extends OperationBase<I> {
  readonly inProject: false;
  run(context: OperationContext & Committing, input: I): O | Promise<O>;
  /** As in ProjectMutation. */
  replay(context: OperationContext, remembered: Remembered, input: I): O | Promise<O>;
}

/** What a decision about an operation needs to know of it. */
export type OperationFacts = Pick<OperationBase<never>, "id" | "scope" | "callerKinds"> & {
  readonly inProject: boolean;
};

export type Operation<I, O> =
  ProjectOperation<I, O> | GlobalOperation<I, O> | ProjectMutation<I, O> | GlobalMutation<I, O>;

/** The `replay` of a mutation whose answer holds a secret: that is shown once. */
export function refuseReplay(): never {
  throw new KeysteadError("idempotency_secret");
}

/** The `replay` of a mutation that answers nothing. */
export function replayNothing(): undefined {
  return undefined;
}
