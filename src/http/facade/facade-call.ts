/**
 * One request of a facade, as its row sees it: whoever asks, and the way to the operations.
 * Invariant: whatever is done is done by `Door.perform`, each time decided and recorded anew; the row never sees services,
 * and a name of the facade's own becomes a key's id only on the way to an operation, which decides about that key.
 */
import type { Caller } from "../../identity/caller.ts";
import { asKeysteadError, type KeysteadError } from "../../errors.ts";
import {
  keyIdOfAlias,
  keyIdOfPrefix,
  keyOfAlias,
  keyOfKid,
  type KeyVersionHandle,
} from "../../service/key-handles.ts";
import { projectCreate } from "../../service/identity-operations.ts";
import type { Operation } from "../../service/operation.ts";
import type { Call, Door } from "../../service/perform.ts";
import { IDEMPOTENCY_KEY_HEADER, parseIdempotencyKey } from "../idempotency-key.ts";
import type { WireRequest } from "../wire.ts";

/** Takes the place of the audit log for refusals of whoever came without credentials; see `Call`. */
export type RecordRefusal = Call<unknown>["recordRefusal"];

/** Made for every request: plain fields, since those with a `#` cost more to make. */
export class FacadeCall {
  readonly caller: Caller;
  readonly requestId: string;
  /** The project that everything is done in. */
  readonly project: string;
  /** Headers of the answer, beyond those that every answer has. */
  readonly headers: Record<string, string> = {};
  private readonly door: Door;
  private readonly request: WireRequest;
  private readonly recordRefusal: RecordRefusal;
  /** Shared with the calls made of this one. */
  private readonly progress: { mutations: number; replays: number };
  /** Which item of the request's array this call is about; 0 where there is no array. */
  private readonly place: number;

  constructor(
    door: Door,
    request: WireRequest,
    caller: Caller,
    requestId: string,
    project: string,
    recordRefusal?: RecordRefusal,
    progress = { mutations: 0, replays: 0 },
    place = 0,
  ) {
    this.caller = caller;
    this.requestId = requestId;
    this.project = project;
    this.door = door;
    this.request = request;
    this.recordRefusal = recordRefusal;
    this.progress = progress;
    this.place = place;
  }

  /** A header of the request by its lower-case name. */
  header(name: string): string | undefined {
    return this.request.header(name);
  }

  /** True where everything that was asked to be changed had been changed before, under the same idempotency key. */
  get replayed(): boolean {
    const { mutations, replays } = this.progress;
    return replays > 0 && replays === mutations;
  }

  /**
   * Does one operation, with its own decision and its own audit entry. Rejects with a KeysteadError.
   * @param input the operation's input, or what makes it: what that throws is recorded as the operation's refusal
   * @param asked what the client asked for, where the input is made of what is there now: a request that comes again under
   * its idempotency key is known by this
   */
  perform<I extends object, O>(
    operation: Operation<I, O>,
    input: I | (() => I),
    asked?: Readonly<Record<string, unknown>>,
  ): Promise<O> {
    if (operation.replay !== undefined) this.progress.mutations++;
    const known = asked === undefined ? operation : { ...operation, idempotentInput: () => asked };
    return this.door.perform(known, {
      ...this.origin(),
      parse: typeof input === "function" ? input : () => input,
      idempotencyKey: () => this.idempotencyKey(),
      onReplayed: () => this.progress.replays++,
    });
  }

  /**
   * What `find` finds, for `operation` to take away. Undefined where nothing is found any more since this request took it
   * away before, under the same idempotency key; whatever else is not there stays a refusal.
   * @param input what the operation is given when it takes away what was found, and `asked` as in `perform`
   */
  async findUnlessGone<T, I extends object, O>(
    find: () => Promise<T>,
    operation: Operation<I, O>,
    input: I,
    asked?: Readonly<Record<string, unknown>>,
  ): Promise<T | undefined> {
    try {
      return await find();
    } catch (thrown) {
      const gone = asKeysteadError(thrown);
      if (gone.status !== 404 || this.request.header(IDEMPOTENCY_KEY_HEADER) === undefined) throw gone;
      const again = {
        ...operation,
        run(): never {
          throw gone;
        },
      };
      await this.perform(again, input, asked);
      return undefined;
    }
  }

  /** Records that what came fits no operation, and rejects with why. */
  refuse<I, O>(operation: Operation<I, O>, error: KeysteadError): Promise<O> {
    return this.door.perform<I, O>(operation, {
      ...this.origin(),
      parse() {
        throw error;
      },
    });
  }

  /** The same request in another project. */
  inProject(project: string): FacadeCall {
    return this.derived(project, this.place);
  }

  /**
   * The part of the request that one item of its array is. What is changed for it is remembered under its place: so a
   * request whose items were done in part does the others when it comes again under its idempotency key.
   */
  ofItem(place: number): FacadeCall {
    return this.derived(this.project, place);
  }

  /** The same request in the caller's own project, where it is a client. Without a promise where that is at hand. */
  atHome(): FacadeCall | Promise<FacadeCall> {
    const { accountId } = this.caller;
    if (accountId === undefined) return this;
    const client = this.door.services.clients.ofAccount(accountId);
    const home = (found: { readonly project: string } | undefined): FacadeCall =>
      found === undefined ? this : this.inProject(found.project);
    return client instanceof Promise ? client.then(home) : home(client);
  }

  /**
   * The id of the key that has a name of a facade's own; an id that leads nowhere where none has. Only an operation that
   * is given the id tells which.
   */
  keyIdOfAlias(scheme: string, text: string): Promise<string> {
    return keyIdOfAlias(this.door.services, this.project, scheme, text);
  }

  /** The same, with the version that the name stands for. */
  keyOfAlias(scheme: string, text: string): Promise<KeyVersionHandle> {
    return keyOfAlias(this.door.services, this.project, scheme, text);
  }

  /** The same for the thumbprint of a public key, and for a key's id. */
  keyOfKid(kid: string): KeyVersionHandle | Promise<KeyVersionHandle> {
    return keyOfKid(this.door.services, this.project, kid);
  }

  /**
   * Makes the project of this call where there is none and the caller may make one. Where the caller may not, it is left to
   * the operation that follows to say that there is none.
   */
  async ensureProject(): Promise<void> {
    if ((await this.door.services.projects.byName(this.project)) !== undefined) return;
    try {
      await this.door.perform(projectCreate, {
        ...this.origin(),
        parse: () => ({ name: this.project }),
      });
    } catch (thrown) {
      const { code } = asKeysteadError(thrown);
      if (code !== "forbidden" && code !== "project_exists") throw thrown;
    }
  }

  /** The same for the beginning of an id, which must be long enough to be one key's alone. */
  keyIdOfPrefix(prefix: string): Promise<string> {
    return keyIdOfPrefix(this.door.services, this.project, prefix);
  }

  private derived(project: string, place: number): FacadeCall {
    return new FacadeCall(
      this.door,
      this.request,
      this.caller,
      this.requestId,
      project,
      this.recordRefusal,
      this.progress,
      place,
    );
  }

  private origin(): Omit<Call<unknown>, "parse"> {
    const { caller, project, requestId } = this;
    const { address, proxy } = this.request;
    return { caller, project, requestId, address, proxy, recordRefusal: this.recordRefusal };
  }

  private idempotencyKey(): string | undefined {
    const key = parseIdempotencyKey(this.request.header(IDEMPOTENCY_KEY_HEADER));
    // A line feed is in no key that a client can send.
    return key === undefined || this.place === 0 ? key : `${key}\n${this.place}`;
  }
}
