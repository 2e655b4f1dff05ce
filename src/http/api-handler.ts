/**
 * What every API does with a request, whatever its wire looks like: admit, identify, read, perform, answer; request id,
 * metrics and the service's own log.
 * Invariant: everything that costs something comes after the limits; whoever took long to send is looked at again; a
 * failure is answered in the shape of the API that was asked, and one of the service's own is logged.
 */
import type { Severity } from "../audit/entry.ts";
import { asKeysteadError, type KeysteadError } from "../errors.ts";
import { anonymousCaller, type Caller } from "../identity/caller.ts";
import type { Door } from "../service/perform.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { gathered } from "../turn.ts";
import type { Admission } from "./admission.ts";
import { requestIdOf } from "./request-id.ts";
import type { HttpMethod, WireRequest, WireResponse } from "./wire.ts";

/** The parts that an API is served with. */
export interface ApiParts {
  readonly door: Door;
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** A request that was admitted and read: performed once, then its result is put on the wire. */
export interface Exchange {
  perform(): Promise<unknown>;
  render(result: unknown): WireResponse;
}

/** A row of an API, as the handler needs it. */
export interface ApiRow {
  readonly method: HttpMethod;
  /** What it does, for the audit log and the service's own: an operation's id. */
  readonly action: string;
  readonly severity: Severity;
  /** Undefined reads no body. */
  readonly bodyBytesMax: number | undefined;
  /** Asks for no credentials: the caller is anonymous. */
  readonly open?: boolean | undefined;
  /** Its body holds a password to check: it is refused unread where no more of them can be checked. */
  readonly checksPassword?: boolean | undefined;
  /** Asks for credentials in dev mode as well. */
  readonly needsCredentials?: boolean | undefined;
  /** @param unreadable why there is no body; the caller is known, so that its refusal is recorded like any other */
  exchange(
    request: WireRequest,
    caller: Caller,
    requestId: string,
    body: Uint8Array | undefined,
    unreadable: KeysteadError | undefined,
  ): Exchange;
  /** The answer to what was refused or failed. */
  refusal(error: KeysteadError, requestId: string): WireResponse;
}

/** A body that took longer than this is followed by a second look at its sender's credentials. */
const SLOW_BODY_MS = 200;

/** Serves a row at a path. */
export function apiHandler(
  { admission, metrics, log }: ApiParts,
  path: string,
  row: ApiRow,
): (request: WireRequest) => Promise<WireResponse> {
  const meter = metrics.requestMeter(row.method, path);
  const { action, severity, bodyBytesMax, open, needsCredentials = false } = row;
  const checksPassword = row.checksPassword === true;

  return async (request) => {
    const startedAt = performance.now();
    const requestId = requestIdOf(request);
    admission.inFlight++;
    let response: WireResponse;
    try {
      await gathered();
      response = await serve(request, requestId, startedAt);
    } catch (thrown) {
      const error = asKeysteadError(thrown);
      if (error.status >= 500) log.failure(action, requestId, error);
      response = row.refusal(error, requestId);
    }
    admission.inFlight--;
    meter.observe(response.status, (performance.now() - startedAt) / 1000);
    return response;
  };

  async function serve(request: WireRequest, requestId: string, startedAt: number): Promise<WireResponse> {
    admission.admitAddress(request);
    let caller: Caller;
    try {
      const identified =
        open === true
          ? checksPassword
            ? admission.identifyByPassword(request, action, severity)
            : anonymousCaller
          : admission.identify(request, needsCredentials);
      caller = identified instanceof Promise ? await identified : identified;
    } catch (thrown) {
      const { code } = asKeysteadError(thrown);
      if (code !== "unauthenticated") throw thrown;
      return admission.refuseAnonymous(request, requestId, action, code, severity);
    }
    let body: Uint8Array | undefined;
    let unreadable: KeysteadError | undefined;
    if (bodyBytesMax !== undefined) {
      try {
        const read = request.readBody(bodyBytesMax);
        body = read instanceof Promise ? await read : read;
        // Whoever takes long to send must still be who they were when they began.
        if (open !== true && performance.now() - startedAt > SLOW_BODY_MS)
          caller = await admission.identifyAgain(request);
      } catch (thrown) {
        unreadable = asKeysteadError(thrown);
        if (unreadable.code === "unauthenticated") {
          return admission.refuseAnonymous(request, requestId, action, unreadable.code, severity);
        }
      }
    }
    const exchange = row.exchange(request, caller, requestId, body, unreadable);
    return exchange.render(await exchange.perform());
  }
}
