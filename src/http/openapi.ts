/**
 * The OpenAPI 3.1 document of what this service serves, made from the rows that serve it: the native API, the facades that
 * are on, and what operators ask.
 * Invariant: nothing is described that is not served, and nothing served is left out.
 */
import { describeFacade, facadeGroup, facadeSchemas } from "./facade/facade-description.ts";
import type { Facade } from "./facade/facade.ts";
import { describeNative, nativeGroups, problemSchema } from "./native/native-description.ts";
import type { AnyNativeRoute } from "./native/native-route.ts";
import type { Json } from "./openapi-fields.ts";

export interface Described {
  readonly native: readonly AnyNativeRoute[];
  /** Those that are on. */
  readonly facades: readonly Facade[];
  readonly version: string;
}

/** Makes the document. */
export function openapiDocument({ native, facades, version }: Described): Json {
  return {
    openapi: "3.1.0",
    info: {
      title: "Keystead",
      version,
      description: "Keys, encryption, signatures and secrets behind one audited door.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    tags: [...nativeGroups(native), operatorGroup, ...facades.map(facadeGroup)],
    paths: joined([nativePaths(native), operatorPaths, ...facades.map(describeFacade)]),
    components: {
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          description: "An API token (kst_…), the token of a login, or another JWT.",
        },
      },
      schemas: Object.assign({ Problem: problemSchema }, ...facades.map(facadeSchemas)) as Json,
    },
  };
}

function nativePaths(routes: readonly AnyNativeRoute[]): Record<string, Json> {
  const paths: Record<string, Json> = {};
  const places = new Map<string, number>();
  for (const route of routes) {
    for (const path of [route.path, ...(route.alsoAt ?? [])]) {
      const { id } = route.operation;
      const place = places.get(id) ?? 0;
      places.set(id, place + 1);
      (paths[path] ??= {})[route.method.toLowerCase()] = describeNative(route, place);
    }
  }
  return paths;
}

/** Two APIs may share a path with a method each. */
function joined(parts: readonly Readonly<Record<string, Json>>[]): Record<string, Json> {
  const paths: Record<string, Json> = {};
  for (const part of parts) {
    for (const [path, item] of Object.entries(part)) paths[path] = { ...paths[path], ...item };
  }
  return paths;
}

const operatorGroup = { name: "service", description: "What operators and their tools ask." };

const open = (summary: string, type: string, statuses: readonly number[]): Json => ({
  get: {
    tags: [operatorGroup.name],
    summary,
    security: [],
    responses: Object.fromEntries(
      statuses.map((status) => [
        status,
        { description: status === 200 ? "Yes" : "No", content: { [type]: {} } },
      ]),
    ),
  },
});

const operatorPaths: Record<string, Json> = {
  "/health": open("Whether every part works", "application/json", [200, 503]),
  "/ready": open("Whether requests are taken", "application/json", [200, 503]),
  "/metrics": open("Prometheus metrics", "text/plain", [200]),
  "/.well-known/jwks.json": open("The public keys of login tokens", "application/jwk-set+json", [200]),
  "/openapi.json": open("This document", "application/json", [200]),
  "/docs": open("This document as a page to try it on", "text/html", [200]),
};
