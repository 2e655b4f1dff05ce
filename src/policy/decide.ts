/**
 * The decision: may this caller do this to that? Pure: the same question always has the same answer.
 * Invariant: default deny, and deny wins. A binding speaks of its own project only (or of all, where it says `*`).
 * - It allows what its role allows: the role's scopes, for names that fit the binding's pattern and one of the statement's.
 * - It denies what its role denies, narrowed in the same way. One denial outweighs everything that is allowed.
 * - A binding to a role that is not there denies everything in its project, since nobody knows what the role denied.
 * What belongs to no project (accounts, projects) has no name that a pattern could match: there only bindings to all
 * projects and statements without patterns count. An operation on a project as a whole (a list) is allowed to whoever is
 * allowed some names, and denied by what denies all names.
 */
import { matchesPattern } from "./pattern.ts";
import { ALL_SCOPES, builtInRoles, type OwnRoles, type Scope, type Statement } from "./roles.ts";

/** Stands for every project. */
export const ALL_PROJECTS = "*";

/** A role given to an account. */
export interface Binding {
  readonly id: string;
  /** A built-in role's name or an own one's. */
  readonly role: string;
  /** A project's id, or `*`. */
  readonly project: string;
  /** Names that the binding covers; `*` stands for any run of characters. All names where it is absent. */
  readonly pattern?: string;
}

/** What is asked for. */
export interface Resource {
  /** The project's id; undefined for what belongs to none. */
  readonly project: string | undefined;
  /**
   * The key's or secret's name; undefined for an operation on the project as a whole; "" for a key id that leads nowhere,
   * of which only those may hear who are allowed every name and denied none.
   */
  readonly name: string | undefined;
}

/** True where the bindings allow the scope on the resource. */
export function decide(
  bindings: readonly Binding[],
  scope: Scope,
  resource: Resource,
  ownRoles: OwnRoles,
): boolean {
  let allowed = false;
  for (const binding of bindings) {
    if (!concerns(binding, resource.project)) continue;
    const builtIn = builtInRoles.get(binding.role);
    if (builtIn !== undefined) {
      allowed ||= builtIn.scopes.has(scope) && isCovered(binding.pattern, resource);
      continue;
    }
    const statements = ownRoles.get(binding.role);
    if (statements === undefined) return false;
    for (const statement of statements) {
      if (!speaksOf(statement, scope)) continue;
      if (statement.effect === "deny") {
        if (denies(binding, statement, resource)) return false;
      } else {
        allowed ||= allows(binding, statement, resource);
      }
    }
  }
  return allowed;
}

/** What a decision rests on. */
export interface Reason {
  readonly effect: "allow" | "deny" | "role_missing";
  readonly binding: Binding;
  /** Which statement of an own role, from 1. */
  readonly statement?: number;
}

export interface Explanation {
  readonly allowed: boolean;
  /** What denies it, where something does; else all that allows it. */
  readonly reasons: readonly Reason[];
}

/** The same decision with its reasons: slower, for people. */
export function explain(
  bindings: readonly Binding[],
  scope: Scope,
  resource: Resource,
  ownRoles: OwnRoles,
): Explanation {
  const reasons = bindings
    .filter((binding) => concerns(binding, resource.project))
    .flatMap((binding) => reasonsOf(binding, scope, resource, ownRoles));
  const against = reasons.filter(({ effect }) => effect !== "allow");
  if (against.length > 0) return { allowed: false, reasons: against };
  return { allowed: reasons.length > 0, reasons };
}

/** Whether a project is there at all to whoever has these bindings: one of them may allow something in it. */
export function hasPart(bindings: readonly Binding[], project: string, ownRoles: OwnRoles): boolean {
  return bindings.some(
    (binding) =>
      concerns(binding, project) &&
      (builtInRoles.has(binding.role) ||
        ownRoles.get(binding.role)?.some(({ effect }) => effect === "allow") === true),
  );
}

function reasonsOf(binding: Binding, scope: Scope, resource: Resource, ownRoles: OwnRoles): Reason[] {
  const builtIn = builtInRoles.get(binding.role);
  if (builtIn !== undefined) {
    return builtIn.scopes.has(scope) && isCovered(binding.pattern, resource)
      ? [{ effect: "allow", binding }]
      : [];
  }
  const statements = ownRoles.get(binding.role);
  if (statements === undefined) return [{ effect: "role_missing", binding }];
  return statements.flatMap((statement, i): Reason[] => {
    const holds = statement.effect === "deny" ? denies : allows;
    return speaksOf(statement, scope) && holds(binding, statement, resource)
      ? [{ effect: statement.effect, binding, statement: i + 1 }]
      : [];
  });
}

function concerns(binding: Binding, project: string | undefined): boolean {
  return binding.project === ALL_PROJECTS || binding.project === project;
}

function speaksOf({ scopes }: Statement, scope: Scope): boolean {
  return scopes[0] === ALL_SCOPES || (scopes as readonly Scope[]).includes(scope);
}

function allows(binding: Binding, { patterns }: Statement, resource: Resource): boolean {
  return (
    isCovered(binding.pattern, resource) &&
    (patterns === undefined || patterns.some((pattern) => isCovered(pattern, resource)))
  );
}

/** Whether a pattern lets an allowing binding or statement reach a resource. */
function isCovered(pattern: string | undefined, { project, name }: Resource): boolean {
  if (pattern === undefined) return true;
  // A list is allowed to whoever may see some of it; what is in it is decided name by name.
  return project !== undefined && (name === undefined || matchesPattern(pattern, name));
}

function denies(binding: Binding, { patterns }: Statement, resource: Resource): boolean {
  return (
    isBarred(binding.pattern, resource) &&
    (patterns === undefined || patterns.some((pattern) => isBarred(pattern, resource)))
  );
}

/** Whether a pattern lets a denial reach a resource. */
function isBarred(pattern: string | undefined, { project, name }: Resource): boolean {
  if (pattern === undefined) return true;
  if (project === undefined || name === undefined) return false;
  // A key that is not there must look like one that is there and denied.
  return name === "" || matchesPattern(pattern, name);
}
