/**
 * What every request passes before anything is done for it, cheapest first: is the client local (dev mode), is its address
 * within its rate, is the service serving, who is it, is the caller within its rate.
 * Invariant: a refusal of somebody unknown can neither fill the audit log nor cost more than a hash and one look-up, or
 * one verification of a signature where a JWT names a key that is there: the first refusal of an address for an operation
 * in a second has its own entry, written before the answer; the others of that second are counted into one summary entry.
 * Logins that are refused because too many wait are counted only, in one summary for all addresses; where it is known
 * before the request is read, nothing of it is.
 */
import { serviceFacts, type Auditor } from "../audit/auditor.ts";
import type { AuditFacts, Severity } from "../audit/entry.ts";
import { KeysteadError, type ErrorCode } from "../errors.ts";
import type { Authenticator } from "../identity/authenticate.ts";
import { anonymousCaller, type Caller } from "../identity/caller.ts";
import type { Passwords } from "../identity/passwords.ts";
import { assertLocalClient } from "./dev-guard.ts";
import { heldBack } from "./held-back.ts";
import { limitedName } from "./ip-address.ts";
import { RateLimiter } from "./rate-limiter.ts";
import { UNKNOWN_ADDRESS, type WireRequest } from "./wire.ts";

/** Failed authentications of one address that are answered as such in a second; more are told to wait. */
const FAILURES_PER_SECOND = 20;
/** Many callers may share an address (a proxy, a network behind one router). */
const ADDRESS_RATE_FACTOR = 4;
const SUMMARIES_MAX = 1000;
const SUMMARY_MS = 1000;
/** Names of limited addresses that are remembered, so that they are not made for each request. */
const NAMES_MAX = 4096;
/** Stands for the addresses beyond SUMMARIES_MAX. */
const MANY = "many";

export interface AdmissionOptions {
  readonly auditor: Auditor;
  readonly authenticator: Authenticator;
  readonly passwords: Pick<Passwords, "hasRoomFor">;
  /** Told of an operation that was refused as `busy` before it was asked for, for the metrics. */
  readonly onBusy: (operation: string) => void;
  /** Dev mode: no web pages, and only clients on this machine (`loopback`) or on any (`any`). Undefined: server mode. */
  readonly devClients: "loopback" | "any" | undefined;
  /** Requests a second for a caller; undefined sets no limit. */
  readonly ratePerSecond: number | undefined;
}

interface Summary {
  readonly facts: AuditFacts;
  /** Refusals beyond the first, which has its own entry. */
  more: number;
}

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #callers: RateLimiter | undefined;
  readonly #addresses: RateLimiter | undefined;
  readonly #failures = new RateLimiter(FAILURES_PER_SECOND);
  readonly #names = new Map<string, string>();
  #summaries = new Map<string, Summary>();
  #summaryTimer: NodeJS.Timeout | undefined;
  #stopping = false;
  inFlight = 0;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    const { ratePerSecond } = options;
    if (ratePerSecond !== undefined) {
      this.#callers = new RateLimiter(ratePerSecond);
      this.#addresses = new RateLimiter(ratePerSecond * ADDRESS_RATE_FACTOR);
    }
  }

  /** From now on every request is refused. */
  stop(): void {
    this.#stopping = true;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** The checks that need no credentials. Throws. */
  admitAddress(request: WireRequest): void {
    this.admitLocal(request);
    // A client that is gone already reads no answer, and its entry could not say where it was.
    if (request.address === UNKNOWN_ADDRESS) throw new KeysteadError("body_incomplete");
    if (this.#addresses?.take(this.#limited(request.address)) === false) {
      throw new KeysteadError("rate_limited");
    }
    this.#assertServing();
  }

  /** In dev mode, throws where the request may come from a web page. */
  admitLocal(request: WireRequest): void {
    const { devClients } = this.#options;
    if (devClients !== undefined) assertLocalClient(request, devClients === "any");
  }

  /** Who is asking. Throws `unauthenticated` or `rate_limited`. Without a promise where everything is at hand. */
  identify(request: WireRequest, needsCredentials = false): Caller | Promise<Caller> {
    const authorization = request.header("authorization");
    // In dev mode whoever shows none would be `dev`.
    if (needsCredentials && authorization === undefined) throw new KeysteadError("unauthenticated");
    const caller = this.#options.authenticator.authenticate(authorization);
    return caller instanceof Promise
      ? caller.then((known) => this.#withinRate(known))
      : this.#withinRate(caller);
  }

  /** Who is asking with a password: nobody, yet. Rejects with `busy` where no password can be checked now. */
  identifyByPassword(request: WireRequest, action: string, severity: Severity): Caller | Promise<Caller> {
    const { passwords, onBusy } = this.#options;
    if (passwords.hasRoomFor(this.#limited(request.address))) return anonymousCaller;
    onBusy(action);
    this.#countMore(MANY, action, severity, undefined, "busy");
    return heldBack().then(() => {
      throw new KeysteadError("busy");
    });
  }

  /** Looks at service and credentials once more, after something took long; not counted as another request. */
  async identifyAgain(request: WireRequest): Promise<Caller> {
    this.#assertServing();
    return this.#options.authenticator.authenticate(request.header("authorization"));
  }

  /** Records that somebody unknown was refused, and throws what to answer. */
  async refuseAnonymous(
    request: WireRequest,
    requestId: string,
    action: string,
    outcome: ErrorCode,
    severity: Severity,
  ): Promise<never> {
    const { address, proxy } = request;
    const limited = this.#limited(address);
    if (!this.#failures.take(limited)) {
      this.#countMore(limited, action, severity, proxy);
      throw new KeysteadError("rate_limited");
    }
    await this.recordRefusal({
      ...serviceFacts(action),
      address,
      caller: anonymousCaller.label,
      decision: "deny",
      outcome,
      request: requestId,
      severity,
      ...(proxy === undefined ? {} : { details: { proxy } }),
    });
    throw new KeysteadError(outcome);
  }

  /**
   * Records the refusal of somebody without credentials: the first one of an address, operation and resource in a second at
   * once, the others of that second in its summary. Whoever is told to wait or to come again is told a little later.
   */
  async recordRefusal(facts: AuditFacts): Promise<void> {
    const { action, outcome, severity } = facts;
    if (outcome === "busy") this.#countMore(MANY, action, severity, undefined, "busy");
    else await this.#recordFirst(facts);
    if (outcome === "busy" || outcome === "rate_limited") await heldBack();
  }

  async #recordFirst(facts: AuditFacts): Promise<void> {
    const { address, action, resource, severity } = facts;
    const key = `${address} ${action}${resource === "" ? "" : ` ${resource}`}`;
    const summary = this.#summaries.get(key);
    if (summary !== undefined) {
      summary.more++;
      return;
    }
    if (this.#summaries.size >= SUMMARIES_MAX) {
      // More addresses at once than anybody real: they share one summary.
      this.#countMore(MANY, "caller.authenticate", "WARNING");
      return;
    }
    this.#summaries.set(key, { facts, more: 0 });
    this.#summaryTimer ??= setTimeout(() => {
      this.flushSummaries();
    }, SUMMARY_MS);
    await this.#options.auditor.record(facts, severity === "CRITICAL");
  }

  /** Writes what was counted since the last time. */
  flushSummaries(): void {
    clearTimeout(this.#summaryTimer);
    this.#summaryTimer = undefined;
    const summaries = this.#summaries;
    this.#summaries = new Map();
    for (const { facts, more } of summaries.values()) {
      if (more === 0) continue;
      const entry = { ...facts, request: "", details: { ...facts.details, refusals: more } };
      this.#options.auditor.record(entry).catch(() => undefined);
    }
  }

  /** What the limits of an address count under; the address itself but for IPv6. */
  #limited(address: string): string {
    if (!address.includes(":")) return address;
    let name = this.#names.get(address);
    if (name === undefined) {
      name = limitedName(address);
      if (this.#names.size >= NAMES_MAX) this.#names.clear();
      this.#names.set(address, name);
    }
    return name;
  }

  #countMore(
    address: string,
    action: string,
    severity: Severity,
    proxy?: string,
    outcome: "unauthenticated" | "busy" = "unauthenticated",
  ): void {
    const key = `${address} ${action}${outcome === "busy" ? " busy" : ""}`;
    let summary = this.#summaries.get(key);
    if (summary === undefined && this.#summaries.size >= SUMMARIES_MAX && address !== MANY) {
      this.#countMore(MANY, "caller.authenticate", "WARNING");
      return;
    }
    if (summary === undefined) {
      const facts: AuditFacts = {
        ...serviceFacts(action),
        address,
        caller: anonymousCaller.label,
        decision: "deny",
        outcome,
        severity,
        ...(proxy === undefined ? {} : { details: { proxy } }),
      };
      summary = { facts, more: 0 };
      this.#summaries.set(key, summary);
      this.#summaryTimer ??= setTimeout(() => {
        this.flushSummaries();
      }, SUMMARY_MS);
    }
    summary.more++;
  }

  #assertServing(): void {
    if (this.#stopping) throw new KeysteadError("stopping");
    if (!this.#options.auditor.available) throw new KeysteadError("audit_unavailable");
  }

  #withinRate(caller: Caller): Caller {
    if (this.#callers?.take(caller.label) === false) throw new KeysteadError("rate_limited");
    return caller;
  }
}
