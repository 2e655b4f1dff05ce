/**
 * The decision: may this caller do this to that? Pure: the same question always has the same answer.
 * Invariant: default deny. A binding allows only in its own project (or in all, where it says `*`), only the scopes of its
 * role, and, where it has a pattern, only resources whose names match it. What belongs to no project (accounts, projects)
 * takes a binding to all projects without a pattern.
 */
import { roles, type RoleName, type Scope } from "./roles.ts";

/** Stands for every project. */
export const ALL_PROJECTS = "*";

/** A role given to an account. */
export interface Binding {
  readonly id: string;
  readonly role: RoleName;
  /** A project's id, or `*`. */
  readonly project: string;
  /** Names that the binding covers; `*` stands for any run of characters. All names where it is absent. */
  readonly pattern?: string;
}

/** What is asked for. */
export interface Resource {
  /** The project's id; undefined for what belongs to none. */
  readonly project: string | undefined;
  /** The key's or secret's name; undefined for an operation on the project as a whole. */
  readonly name: string | undefined;
}

/** True where one of the bindings allows the scope on the resource. */
export function decide(bindings: readonly Binding[], scope: Scope, resource: Resource): boolean {
  for (const binding of bindings) {
    if (!roles[binding.role].scopes.has(scope)) continue;
    if (binding.project !== ALL_PROJECTS && binding.project !== resource.project) continue;
    if (resource.project === undefined) {
      if (binding.pattern === undefined) return true;
    } else if (resource.name === undefined || matchesPattern(binding.pattern, resource.name)) {
      // A list is allowed to whoever may see some of it; what is in it is decided name by name.
      return true;
    }
  }
  return false;
}

/** Whether a name matches a pattern, in time linear in both lengths for each `*`. */
export function matchesPattern(pattern: string | undefined, name: string): boolean {
  if (pattern === undefined) return true;
  const parts = pattern.split("*");
  const first = parts[0] ?? "";
  if (parts.length === 1) return name === pattern;
  const last = parts.at(-1) ?? "";
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found === -1) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}
