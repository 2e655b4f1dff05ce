/**
 * Route rows grouped by path, for any listener: which methods a path takes, and which path matches.
 * Invariant: matching is by raw segments, byte for byte; a literal segment wins over a parameter; two rows that could
 * match one request are refused when the table is made.
 */
import type { WireRoute } from "./wire.ts";

export interface PathEntry {
  readonly path: string;
  readonly segments: readonly string[];
  readonly methods: ReadonlyMap<string, WireRoute>;
}

/** Groups rows by path. Throws on two rows for the same method and shape of path. */
export function buildRouteTable(routes: readonly WireRoute[]): PathEntry[] {
  const entries = new Map<string, { path: string; segments: string[]; methods: Map<string, WireRoute> }>();
  for (const route of routes) {
    const segments = route.path.split("/").slice(1);
    const shape = segments.map((segment) => (isParameter(segment) ? "{}" : segment)).join("/");
    const entry = entries.get(shape) ?? { path: route.path, segments, methods: new Map<string, WireRoute>() };
    if (entry.path !== route.path)
      throw new Error(`${route.path} and ${entry.path} differ in parameter names only`);
    if (entry.methods.has(route.method)) throw new Error(`two routes for ${route.method} ${route.path}`);
    entry.methods.set(route.method, route);
    entries.set(shape, entry);
  }
  return [...entries.values()];
}

/** The entry that a raw path matches, with its parameters; undefined where none does. */
export function matchPath(
  entries: readonly PathEntry[],
  path: string,
): { entry: PathEntry; params: Record<string, string> } | undefined {
  const segments = path.split("/").slice(1);
  let best: { entry: PathEntry; params: Record<string, string>; literals: number } | undefined;
  for (const entry of entries) {
    if (entry.segments.length !== segments.length) continue;
    const params: Record<string, string> = {};
    let literals = 0;
    const matches = entry.segments.every((pattern, i) => {
      const segment = segments[i] ?? "";
      if (isParameter(pattern)) {
        params[pattern.slice(1, -1)] = segment;
        return segment !== "";
      }
      literals++;
      return pattern === segment;
    });
    if (matches && (best === undefined || literals > best.literals)) best = { entry, params, literals };
  }
  return best;
}

export function isParameter(segment: string): boolean {
  return segment.startsWith("{");
}
