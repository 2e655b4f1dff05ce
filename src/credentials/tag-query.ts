/**
 * Tag queries, in the language of Aries' wallets (WQL): an object of tag names and the texts that they are to have, with
 * `$and`, `$or`, `$not`, `$exist` between them and `$neq`, `$gt`, `$gte`, `$lt`, `$lte`, `$like`, `$in` in a text's place.
 * Meaning: everything in an object has to hold. A tag that is not there has no text, so that no comparison with it holds,
 * `$neq` neither; `$not` of one does. An empty list of `$and` or `$or` asks for nothing. Texts are compared by their code
 * points; in `$like`, `%` stands for any run of characters and `_` for one.
 * Invariant: a query that was read has at most CLAUSES_MAX clauses (members of objects, empty objects and the texts of lists)
 * over texts of at most TEXT_CHARACTERS_MAX characters, and at most PATTERNS_MAX short patterns, each of which is held against
 * a text once a place: no query takes more than a few milliseconds over one record.
 */
import { Buffer } from "node:buffer";

const CLAUSES_MAX = 256;
const TEXT_CHARACTERS_MAX = 512;
/** Patterns of `$like` in a query, and characters in one: each is held against a text place by place. */
const PATTERNS_MAX = 16;
const PATTERN_CHARACTERS_MAX = 64;

export type Tags = Readonly<Record<string, string>>;

/** Whether tags fit a query. */
export type TagPredicate = (tags: Tags) => boolean;

/** What a query asks; undefined where it is none. */
export function readTagQuery(query: unknown): TagPredicate | undefined {
  try {
    return new Reader().object(query);
  } catch (error) {
    if (error instanceof NoQuery) return undefined;
    throw error;
  }
}

class NoQuery extends Error {}

const comparisons: Readonly<Record<string, (found: string, wanted: string) => boolean>> = {
  $neq: (found, wanted) => found !== wanted,
  $gt: (found, wanted) => order(found, wanted) > 0,
  $gte: (found, wanted) => order(found, wanted) >= 0,
  $lt: (found, wanted) => order(found, wanted) < 0,
  $lte: (found, wanted) => order(found, wanted) <= 0,
  $like: isLike,
};

class Reader {
  #clauses = 0;
  #patterns = 0;

  object(value: unknown): TagPredicate {
    const members = Object.entries(asObject(value));
    // One without members costs as much as one member.
    if (members.length === 0) this.#count();
    const parts = members.map(([name, part]) => this.#member(name, part));
    return (tags) => parts.every((holds) => holds(tags));
  }

  #member(name: string, value: unknown): TagPredicate {
    this.#count();
    switch (name) {
      case "$and": {
        const parts = asArray(value).map((part) => this.object(part));
        return (tags) => parts.every((holds) => holds(tags));
      }
      case "$or": {
        const parts = asArray(value).map((part) => this.object(part));
        return (tags) => parts.length === 0 || parts.some((holds) => holds(tags));
      }
      case "$not": {
        const part = this.object(value);
        return (tags) => !part(tags);
      }
      case "$exist": {
        const names = typeof value === "string" ? [this.#text(value)] : this.#texts(value);
        return (tags) => names.every((one) => Object.hasOwn(tags, one));
      }
    }
    if (name.startsWith("$")) throw new NoQuery();
    this.#text(name);
    const fits = this.#comparison(value);
    return (tags) => {
      const found = Object.hasOwn(tags, name) ? tags[name] : undefined;
      return found !== undefined && fits(found);
    };
  }

  #comparison(value: unknown): (found: string) => boolean {
    if (typeof value === "string") {
      const wanted = this.#text(value);
      return (found) => found === wanted;
    }
    const members = Object.entries(asObject(value));
    const [operator, operand] = members[0] ?? [];
    if (operator === undefined || members.length > 1) throw new NoQuery();
    if (operator === "$in") {
      const wanted = new Set(this.#texts(operand));
      return (found) => wanted.has(found);
    }
    const compare = Object.hasOwn(comparisons, operator) ? comparisons[operator] : undefined;
    if (compare === undefined) throw new NoQuery();
    const wanted = this.#text(operand);
    if (operator === "$like" && (++this.#patterns > PATTERNS_MAX || wanted.length > PATTERN_CHARACTERS_MAX))
      throw new NoQuery();
    return (found) => compare(found, wanted);
  }

  #texts(value: unknown): string[] {
    return asArray(value).map((one) => {
      this.#count();
      return this.#text(one);
    });
  }

  /** Counts a clause, before anything is made of it. */
  #count(): void {
    if (++this.#clauses > CLAUSES_MAX) throw new NoQuery();
  }

  #text(value: unknown): string {
    if (typeof value !== "string" || value.length > TEXT_CHARACTERS_MAX) throw new NoQuery();
    return value;
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new NoQuery();
  return value as Readonly<Record<string, unknown>>;
}

function asArray(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new NoQuery();
  return value;
}

/** UTF-8 keeps the order of code points. */
function order(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Each run is looked for from where the one before ended: the first place is as good as any. */
function isLike(found: string, pattern: string): boolean {
  const text = Array.from(found);
  const runs = pattern.split("%").map((run) => Array.from(run));
  const first = runs[0] ?? [];
  if (runs.length === 1) return text.length === first.length && runFits(text, first, 0);
  const last = runs.at(-1) ?? [];
  if (text.length < first.length + last.length || !runFits(text, first, 0)) return false;
  const end = text.length - last.length;
  if (!runFits(text, last, end)) return false;
  let at = first.length;
  for (const run of runs.slice(1, -1)) {
    while (at + run.length <= end && !runFits(text, run, at)) at++;
    if (at + run.length > end) return false;
    at += run.length;
  }
  return true;
}

function runFits(text: readonly string[], run: readonly string[], at: number): boolean {
  // A plain loop: this is what a search with patterns consists of.
  for (let i = 0; i < run.length; i++) if (run[i] !== "_" && run[i] !== text[at + i]) return false;
  return true;
}
