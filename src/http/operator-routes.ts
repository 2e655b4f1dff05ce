/**
 * What operators and their tools ask: /health, /ready, /metrics, the public keys of logins, and the API's description.
 * Invariant: none of it needs credentials, none of it tells a name, and none of it is audited.
 */
import type { Health } from "../telemetry/health.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Admission } from "./admission.ts";
import { asKeysteadError } from "../errors.ts";
import { problemResponse } from "./problem.ts";
import { requestIdOf } from "./request-id.ts";
import type { WireRequest, WireResponse, WireRoute } from "./wire.ts";

export interface OperatorOptions {
  readonly health: Health;
  readonly metrics: Metrics;
  readonly admission: Admission;
  /** The keys that login tokens are signed with, as a JWK Set. */
  readonly publicKeys: () => Promise<unknown>;
  /** The OpenAPI document, as JSON text. */
  readonly openapi: string;
}

export function operatorRoutes({
  health,
  metrics,
  admission,
  publicKeys,
  openapi,
}: OperatorOptions): WireRoute[] {
  const get = (
    path: string,
    answer: () => Promise<{ status: number; type: string; body: string }>,
    headers?: Readonly<Record<string, string>>,
  ): WireRoute => {
    const meter = metrics.requestMeter("GET", path);
    return {
      method: "GET",
      path,
      async handle(request: WireRequest): Promise<WireResponse> {
        try {
          admission.admitLocal(request);
        } catch (thrown) {
          return problemResponse(asKeysteadError(thrown), requestIdOf(request));
        }
        const { status, type, body } = await answer();
        meter.count(status);
        const response = { status, contentType: type, requestId: requestIdOf(request), body };
        return headers === undefined ? response : { ...response, headers };
      },
    };
  };
  return [
    get("/health", async () => {
      const report = await health.report();
      return {
        status: report.status === "ok" ? 200 : 503,
        type: "application/json",
        body: JSON.stringify(report),
      };
    }),
    get("/ready", async () => {
      const ready = !admission.stopping && (await health.report()).status === "ok";
      return { status: ready ? 200 : 503, type: "application/json", body: JSON.stringify({ ready }) };
    }),
    get("/metrics", async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() })),
    get(
      "/.well-known/jwks.json",
      async () => ({
        status: 200,
        type: "application/jwk-set+json",
        body: JSON.stringify(await publicKeys()),
      }),
      // A key is shown for longer than this before it signs.
      { "cache-control": "public, max-age=300" },
    ),
    get("/openapi.json", () => Promise.resolve({ status: 200, type: "application/json", body: openapi })),
  ];
}
