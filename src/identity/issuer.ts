/**
 * An external issuer of tokens, and what its tokens are worth here: rules from claims to role bindings or to an account.
 * Invariant: pure. A rule counts where every one of its conditions holds; a token that no rule fits is worth nothing. Texts
 * of a token are compared and never interpreted: the only patterns are the rules' own.
 */
import type { Binding } from "../policy/decide.ts";
import { matchesPattern } from "../policy/pattern.ts";

/** Asymmetric algorithms only (RFC 7518 §3.1, RFC 8037 §3.1). */
export const issuerAlgorithms = [
  "EdDSA",
  "ES256",
  "ES384",
  "ES512",
  "PS256",
  "PS384",
  "PS512",
  "RS256",
  "RS384",
  "RS512",
] as const;
export type IssuerAlgorithm = (typeof issuerAlgorithms)[number];

/** What a condition on a claim asks; of a list of values one has to fit. */
export type Condition =
  | { readonly claim: string; readonly equals: string | number | boolean }
  | { readonly claim: string; readonly matches: string };

export type IssuerRule = { readonly when: readonly Condition[] } & (
  | { readonly bindings: readonly Omit<Binding, "id">[] }
  /** An account's name, in which `{claim}` may stand once for the text of a claim. */
  | { readonly account: string }
);

/** Where an issuer's public keys come from. */
export type KeySource =
  | { readonly from: "discovery" }
  | { readonly from: "url"; readonly url: string }
  | { readonly from: "pinned"; readonly keys: readonly Readonly<Record<string, unknown>>[] };

export interface IssuerSettings {
  readonly enabled: boolean;
  /** A token names one of these in `aud`. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly IssuerAlgorithm[];
  readonly keySource: KeySource;
  /** PEM certificates that the issuer's server is trusted by, in the place of the public ones. */
  readonly caPem?: string;
  /** The claim that names who the token is for. */
  readonly subjectClaim: string;
  /** The longest time between `iat` and `exp`. */
  readonly lifetimeSecondsMax: number;
  readonly rules: readonly IssuerRule[];
}

export interface IssuerRecord extends IssuerSettings {
  readonly name: string;
  /** The claim `iss` of its tokens, letter by letter. */
  readonly issuer: string;
  readonly createdAt: string;
}

export interface Issuer extends IssuerRecord {
  readonly id: string;
  readonly revision: number;
}

export type Claims = Readonly<Record<string, unknown>>;

/** What a token is worth: an account to act as (by name), or role bindings; undefined where no rule fits it. */
export type Worth =
  | { readonly account: string; readonly bindings?: never }
  | { readonly account?: never; readonly bindings: readonly Binding[] };

/** Holds claims to an issuer's rules. The first rule that names an account decides; bindings add up. */
export function worthOf(rules: readonly IssuerRule[], claims: Claims): Worth | undefined {
  const bindings: Binding[] = [];
  for (const [i, rule] of rules.entries()) {
    if (!rule.when.every((condition) => holds(condition, claims))) continue;
    if ("account" in rule) {
      const account = filled(rule.account, claims);
      if (account !== undefined) return { account };
    } else {
      for (const [j, binding] of rule.bindings.entries())
        bindings.push({ ...binding, id: `rule-${i + 1}.${j + 1}` });
    }
  }
  return bindings.length === 0 ? undefined : { bindings };
}

/**
 * A claim by its name, or by a JSON pointer (RFC 6901) where it lies deeper: `/kubernetes.io/namespace`.
 * Undefined where there is none; what objects have by themselves is none.
 */
export function claimAt(claims: Claims, path: string): unknown {
  if (!path.startsWith("/")) return Object.hasOwn(claims, path) ? claims[path] : undefined;
  let value: unknown = claims;
  for (const part of path.slice(1).split("/")) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || Array.isArray(value) || !Object.hasOwn(value, name))
      return undefined;
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

/** The one placeholder of an account's name: `{sub}`. */
export const placeholder = /\{([^{}]+)\}/;

const accountName = /^[a-z0-9][a-z0-9._-]{0,63}$/;

function holds(condition: Condition, claims: Claims): boolean {
  const value = claimAt(claims, condition.claim);
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return "equals" in condition
    ? values.includes(condition.equals)
    : values.some((one) => typeof one === "string" && matchesPattern(condition.matches, one));
}

/** An account's name with its placeholder filled; undefined where that makes no name. Nothing is folded or trimmed. */
function filled(template: string, claims: Claims): string | undefined {
  const claim = placeholder.exec(template)?.[1];
  if (claim === undefined) return template;
  const value = claimAt(claims, claim);
  if (typeof value !== "string") return undefined;
  const name = template.replace(placeholder, () => value);
  return accountName.test(name) ? name : undefined;
}
