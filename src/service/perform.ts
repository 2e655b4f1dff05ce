/**
 * The single door: whatever is done here on behalf of a caller is done by `perform`.
 * The way: parse, resolve the project, decide, run, record, wait for the record. Refusals and failures take it too.
 * A mutation that comes again under its idempotency key is not run but answered anew; that is recorded like any call.
 * Invariant: no result leaves before its audit entry is written; a change's entry is committed with the change.
 */
import type { CommitChange } from "../audit/change.ts";
import type { AuditFacts } from "../audit/entry.ts";
import { asKeysteadError, KeysteadError } from "../errors.ts";
import type { Caller } from "../identity/caller.ts";
import type { Project } from "../identity/projects.ts";
import { decide, hasPart, type Resource } from "../policy/decide.ts";
import { noOwnRoles, type OwnRoles, type Scope } from "../policy/roles.ts";
import { isKeyId } from "../keyring/keyring.ts";
import { StoreConflict } from "../storage/store.ts";
import type { Attempt, Idempotency } from "./idempotency.ts";
import type {
  Committing,
  Operation,
  ProjectContext,
  Remembered,
  ResourceName,
  Services,
} from "./operation.ts";

/** One call as a facade hands it in. */
export interface Call<I> {
  readonly caller: Caller;
  /** The project's name, from the wire. */
  readonly project: string;
  readonly requestId: string;
  readonly address: string;
  /** The proxy's address, where the client's own was told by one. */
  readonly proxy?: string | undefined;
  /** Turns what came over the wire into the operation's input; throws a KeysteadError where it does not fit. */
  parse(): I;
  /** The client's idempotency key, where it sent one; asked of mutations only. Throws a KeysteadError for a malformed one. */
  readonly idempotencyKey?: (() => string | undefined) | undefined;
  /** Records the refusal of a caller without credentials, instead of the audit log itself, which nobody may fill. */
  readonly recordRefusal?: ((facts: AuditFacts) => Promise<void>) | undefined;
  /** Told where a call was not run, since it was done before. */
  readonly onReplayed?: (() => unknown) | undefined;
}

export class Door {
  readonly services: Services;
  readonly #idempotency: Idempotency;
  /** Told of every operation and its outcome, for the metrics. */
  readonly #count: (operation: string, outcome: string) => void;

  constructor(
    services: Services,
    idempotency: Idempotency,
    count: (operation: string, outcome: string) => void,
  ) {
    this.services = services;
    this.#idempotency = idempotency;
    this.#count = count;
  }

  /** Performs one operation for one caller. Rejects with a KeysteadError. */
  async perform<I, O>(operation: Operation<I, O>, call: Call<I>): Promise<O> {
    const context = new CallContext(this.services, operation, call);
    let result: O | undefined;
    let failure: KeysteadError | undefined;
    try {
      const input = call.parse();
      const key = operation.replay === undefined ? undefined : call.idempotencyKey?.();
      context.resource = operation.resource(input);
      const ownRoles = this.services.roles.neededFor(call.caller.bindings);
      context.ownRoles = ownRoles instanceof Promise ? await ownRoles : ownRoles;
      if (operation.inProject) {
        const found = this.services.projects.byName(call.project);
        context.found = found instanceof Promise ? await found : found;
        // A project that a caller has no part in looks to it like one that does not exist.
        if (context.found === undefined || !hasPart(call.caller.bindings, context.found.id, context.ownRoles))
          throw new KeysteadError("project_not_found");
        if (context.found.state === "pending_deletion") throw new KeysteadError("project_pending_deletion");
        if (context.resource?.kind === "key" && isKeyId(context.resource.name)) await context.nameKey();
      }
      authorize(operation, call.caller, context, input);
      const running =
        key === undefined ? operation.run(context, input) : this.#runOnce(operation, context, input, key);
      result = running instanceof Promise ? await running : running;
    } catch (thrown) {
      failure = asKeysteadError(thrown);
      context.outcome = failure.code;
    }
    if (failure !== undefined && call.recordRefusal !== undefined && !context.committed) {
      await call.recordRefusal(context.facts());
    } else if (!context.committed) {
      await this.services.auditor.record(context.facts(), operation.severity === "CRITICAL");
    }
    this.#count(operation.id, context.outcome);
    if (failure !== undefined) throw failure;
    return result as O;
  }

  #runOnce<I, O>(operation: Operation<I, O>, context: CallContext<I, O>, input: I, key: string): Promise<O> {
    const { caller, found } = context;
    return this.#idempotency.once<O>(
      {
        project: found?.id ?? "",
        // Those without credentials share a name: an address at least is to be told from another.
        caller:
          operation.anonymous === true ? { ...caller, label: `${caller.label} ${context.address}` } : caller,
        operation: operation.id,
        key,
        input: operation.idempotentInput === undefined ? input : operation.idempotentInput(input),
      },
      (attempt) => {
        context.attempt = attempt;
        return operation.run(context, input);
      },
      (remembered) => {
        context.noteReplay(remembered);
        if (operation.replay === undefined) throw new Error(`${operation.id} is no mutation`);
        return operation.replay(context, remembered, input);
      },
    );
  }
}

/** Throws `forbidden` for what no binding allows. */
function authorize<I, O>(
  operation: Operation<I, O>,
  caller: Caller,
  context: CallContext<I, O>,
  input: I,
): void {
  const project = context.found;
  const resource = { project: project?.id, name: context.named };
  const allowed =
    (operation.scope === undefined ||
      context.allows(operation.scope, resource) ||
      isOwnAccount(caller, operation.ownAccount?.(input))) &&
    (operation.callerKinds === undefined || operation.callerKinds.includes(caller.kind));
  if (!allowed) throw new KeysteadError("forbidden");
  context.decision = "allow";
}

/** Whether an account is the caller's own. Whoever takes over a name has another id: `run` has a look at that. */
function isOwnAccount({ accountId, label, kind }: Caller, name: string | undefined): boolean {
  return accountId !== undefined && name !== undefined && label === `${kind}:${name}`;
}

/** Made for every call: plain fields, since those with a `#` cost more to make. */
class CallContext<I, O> implements ProjectContext, Committing {
  readonly services: Services;
  readonly caller: Caller;
  private readonly operation: Operation<I, O>;
  private readonly call: Call<I>;
  ownRoles: OwnRoles = noOwnRoles;
  found: Project | undefined;
  resource: ResourceName | undefined;
  version = 0;
  details: Readonly<Record<string, string | number>> | undefined;
  decision: "allow" | "deny" = "deny";
  outcome = "ok";
  committed = false;
  /** Set where the call came with an idempotency key under which nothing is remembered. */
  attempt: Attempt | undefined;

  constructor(services: Services, operation: Operation<I, O>, call: Call<I>) {
    this.services = services;
    this.caller = call.caller;
    this.operation = operation;
    this.call = call;
  }

  get address(): string {
    return this.call.address;
  }

  get project(): Project {
    if (this.found === undefined) throw new KeysteadError("project_not_found");
    return this.found;
  }

  allows(scope: Scope, resource: Resource): boolean {
    return decide(this.caller.bindings, scope, resource, this.ownRoles);
  }

  /** The name that a binding's pattern is held against; undefined for the project as a whole. */
  get named(): string | undefined {
    return this.resource?.name;
  }

  /**
   * Puts the name of a key in the place of its id: bindings speak of names, and so does the audit log. For an id that leads
   * nowhere the name is "", which only bindings without a pattern cover, so that it looks like a key of others.
   */
  async nameKey(): Promise<void> {
    const id = this.resource?.name ?? "";
    try {
      const { name } = await this.services.keyring.get(this.project.id, id);
      this.resource = { kind: "key", name };
    } catch (thrown) {
      if (asKeysteadError(thrown).code !== "key_not_found") throw thrown;
      this.resource = { kind: "key", name: "" };
    }
  }

  get commit(): CommitChange {
    return async (writes, changed) => {
      // Types say so as well; but a change that an idempotency key passes over must not come about by a cast either.
      if (this.operation.replay === undefined) throw new Error(`${this.operation.id} is no mutation`);
      const facts = this.facts();
      const { resource, version = 0 } = changed;
      const details = this.#withProxy(changed.details ?? this.details);
      const all =
        this.attempt === undefined || this.committed ? writes : this.attempt.withRow(writes, version);
      try {
        await this.services.auditor.commitChange(
          { ...facts, resource, version, ...(details === undefined ? {} : { details }) },
          all,
          () => {
            this.committed = true;
            if (this.attempt !== undefined) this.attempt.committed = true;
          },
        );
      } catch (error) {
        // To whoever commits, a StoreConflict means that its own rows were changed: it would try again.
        if (error instanceof StoreConflict && error.table === "idempotency")
          throw new KeysteadError("conflict", { cause: error });
        throw error;
      }
    };
  }

  /** What the audit entry of a replay says. */
  noteReplay({ version }: Remembered): void {
    this.version = version;
    this.details = { replayed: 1 };
    this.call.onReplayed?.();
  }

  facts(): AuditFacts {
    const { resource } = this;
    const details = this.#withProxy(this.details);
    const facts = {
      action: this.operation.id,
      address: this.call.address,
      caller: this.caller.label,
      decision: this.decision,
      outcome: this.outcome,
      // A name that leads nowhere is the caller's text, not ours: it stays out of the log.
      project: this.found?.name ?? "",
      request: this.call.requestId,
      resource: resource === undefined ? "" : `${resource.kind}:${resource.name}`,
      severity: this.operation.severity ?? (this.outcome === "forbidden" ? "WARNING" : "INFO"),
      version: this.version,
    } as const;
    return details === undefined ? facts : { ...facts, details };
  }

  /** An entry keeps both addresses: the client's, and that of the proxy which told it. */
  #withProxy(details: AuditFacts["details"]): AuditFacts["details"] {
    const { proxy } = this.call;
    return proxy === undefined ? details : { ...details, proxy };
  }
}
