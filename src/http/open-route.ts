/**
 * GET paths that anybody may ask: what operators and their tools need, and the page that shows the API.
 * Invariant: every answer is counted, and what goes wrong is answered like any other failure, with its own status.
 */
import { asKeysteadError } from "../errors.ts";
import type { Log } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Admission } from "./admission.ts";
import { problemResponse } from "./problem.ts";
import { requestIdOf } from "./request-id.ts";
import type { WireResponse, WireRoute } from "./wire.ts";

export interface OpenRouteParts {
  readonly admission: Admission;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** A path that asks for no credentials and is not audited. */
export function openRoute(
  { admission, metrics, log }: OpenRouteParts,
  path: string,
  answer: () => Promise<Omit<WireResponse, "requestId">>,
): WireRoute {
  const meter = metrics.requestMeter("GET", path);
  return {
    method: "GET",
    path,
    async handle(request) {
      const requestId = requestIdOf(request);
      let response: WireResponse;
      try {
        admission.admitLocal(request);
        response = { requestId, ...(await answer()) };
      } catch (thrown) {
        const error = asKeysteadError(thrown);
        if (error.status >= 500) log.failure(`GET ${path}`, requestId, error);
        response = problemResponse(error, requestId);
      }
      meter.count(response.status);
      return response;
    },
  };
}
