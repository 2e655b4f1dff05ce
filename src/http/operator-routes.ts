/**
 * What operators and their tools ask: /health, /ready, /metrics, the public keys of logins, and the API's description.
 * Invariant: none of it needs credentials, none of it tells a name, and none of it is audited.
 */
import type { Health } from "../telemetry/health.ts";
import { openRoute, type OpenRouteParts } from "./open-route.ts";
import type { WireResponse, WireRoute } from "./wire.ts";

export interface OperatorOptions extends OpenRouteParts {
  readonly health: Health;
  /** The keys that login tokens are signed with, as a JWK Set. */
  readonly publicKeys: () => Promise<unknown>;
  /** The OpenAPI document, as JSON text. */
  readonly openapi: string;
}

export function operatorRoutes(options: OperatorOptions): WireRoute[] {
  const { health, metrics, admission, publicKeys, openapi } = options;
  const json = (status: number, body: unknown): Omit<WireResponse, "requestId"> => ({
    status,
    contentType: "application/json",
    body: JSON.stringify(body),
  });
  return [
    openRoute(options, "/health", async () => {
      const report = await health.report();
      return json(report.status === "ok" ? 200 : 503, report);
    }),
    openRoute(options, "/ready", async () => {
      const ready = !admission.stopping && (await health.report()).status === "ok";
      return json(ready ? 200 : 503, { ready });
    }),
    openRoute(options, "/metrics", async () => ({
      status: 200,
      contentType: metrics.contentType,
      body: await metrics.text(),
    })),
    openRoute(options, "/.well-known/jwks.json", async () => ({
      ...json(200, await publicKeys()),
      contentType: "application/jwk-set+json",
      // A key is shown for longer than this before it signs.
      headers: { "cache-control": "public, max-age=300" },
    })),
    openRoute(options, "/openapi.json", () =>
      Promise.resolve({ status: 200, contentType: "application/json", body: openapi }),
    ),
  ];
}
