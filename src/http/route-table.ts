/**
 * Route rows grouped by path, for any listener: which methods a path takes, and which path matches.
 * Invariant: matching is by raw segments, byte for byte; two rows that could match one request with neither the more
 * literal, or with the same method at the same shape of path, are refused when the table is made.
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
  const list = [...entries.values()];
  for (const [i, a] of list.entries()) for (const b of list.slice(i + 1)) refuseAmbiguity(a, b);
  return list;
}

/** `/a/{x}` beside `/a/b` is clear, `/a/{x}` beside `/{y}/b` is not: neither is the more literal. */
function refuseAmbiguity(a: PathEntry, b: PathEntry): void {
  if (a.segments.length !== b.segments.length) return;
  let aNarrower = false;
  let bNarrower = false;
  for (const [i, segment] of a.segments.entries()) {
    const other = b.segments[i] ?? "";
    if (isParameter(segment) !== isParameter(other)) {
      if (isParameter(other)) aNarrower = true;
      else bNarrower = true;
    } else if (!isParameter(segment) && segment !== other) return;
  }
  if (aNarrower && bNarrower) throw new Error(`${a.path} and ${b.path} could match one request`);
}

/** The entry that a raw path matches, with its parameters; undefined where none does. */
export function matchPath(
  entries: readonly PathEntry[],
  path: string,
): { entry: PathEntry; params: Record<string, string> } | undefined {
  if (!path.startsWith("/")) return undefined;
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
