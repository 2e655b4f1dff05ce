/** Tag queries against a model that is written another way: SQL's, over rows of names and texts. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import fc from "fast-check";
import { readTagQuery, type Tags } from "../../src/credentials/tag-query.ts";

type Query = Record<string, unknown>;
const names = ["a", "b", "~c", "toString"];
const texts = ["", "1", "2", "10", "abc", "aXc", "a%c", "\u{ff5e}", "\u{1f600}"];
const name = fc.constantFrom(...names);
const text = fc.constantFrom(...texts);
const pattern = fc.string({ unit: fc.constantFrom("a", "b", "c", "%", "_", "1", "\u{1f600}"), maxLength: 6 });
const tags: fc.Arbitrary<Tags> = fc.dictionary(name, text, { noNullPrototype: true });

const comparison: fc.Arbitrary<unknown> = fc.oneof(
  text,
  fc
    .tuple(fc.constantFrom("$neq", "$gt", "$gte", "$lt", "$lte"), text)
    .map(([op, value]) => ({ [op]: value })),
  pattern.map((value) => ({ $like: value })),
  fc.array(text, { maxLength: 3 }).map((values) => ({ $in: values })),
);
const { query } = fc.letrec<{ query: Query }>((tie) => ({
  query: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.dictionary(name, comparison, { maxKeys: 2, noNullPrototype: true }),
    fc.oneof(name, fc.array(name, { maxLength: 2 })).map((found) => ({ $exist: found })),
    fc
      .tuple(fc.constantFrom("$and", "$or"), fc.array(tie("query"), { maxLength: 3 }))
      .map(([op, parts]) => ({ [op]: parts })),
    tie("query").map((part) => ({ $not: part })),
  ),
}));

/** The condition in SQL, over a table `tags (name, text)`. */
function sql(asked: Query): string {
  const quoted = (value: unknown): string => `'${String(value).replaceAll("'", "''")}'`;
  const has = (tag: string, condition: string): string =>
    `exists (select 1 from tags where name = ${quoted(tag)} and ${condition})`;
  const signs: Record<string, string> = {
    $neq: "<>",
    $gt: ">",
    $gte: ">=",
    $lt: "<",
    $lte: "<=",
    $like: "like",
  };
  const clauses = Object.entries(asked).map(([member, value]): string => {
    if (member === "$and") return all((value as Query[]).map(sql), "and");
    if (member === "$or") return all((value as Query[]).map(sql), "or");
    if (member === "$not") return `not (${sql(value as Query)})`;
    if (member === "$exist")
      return all(
        [value].flat().map((tag) => has(String(tag), "true")),
        "and",
      );
    if (typeof value === "string") return has(member, `text = ${quoted(value)}`);
    const [operator = "", operand] = Object.entries(value as Query)[0] ?? [];
    if (operator === "$in") return has(member, `text in (${(operand as string[]).map(quoted).join()})`);
    return has(member, `text ${signs[operator]} ${quoted(operand)}`);
  });
  return all(clauses, "and");
}
const all = (parts: readonly string[], word: string): string =>
  parts.length === 0 ? "true" : `(${parts.join(` ${word} `)})`;

describe("a tag query", () => {
  test("asks what the same condition asks of a database", () => {
    const database = new DatabaseSync(":memory:");
    database.exec("pragma case_sensitive_like = on; create table tags (name text, text text)");
    const remove = database.prepare("delete from tags");
    const insert = database.prepare("insert into tags values (?, ?)");
    fc.assert(
      fc.property(tags, query, (there, asked) => {
        remove.run();
        for (const row of Object.entries(there)) insert.run(...row);
        const row = database.prepare(`select ${sql(asked)} as holds`).get();
        assert.equal(readTagQuery(asked)?.(there), row?.["holds"] === 1);
      }),
      { numRuns: 2000 },
    );
    database.close();
  });

  test("is refused where it is none, and never throws", () => {
    const nothing: unknown[] = [
      null, "a", [], { a: 1 }, { a: null }, { a: {} }, { a: { $gt: "1", $lt: "2" } }, { a: { $what: "1" } },
      { $what: [] }, { $and: {} }, { $or: "a" }, { $not: [] }, { $exist: 1 }, { $exist: [1] }, { a: { $in: "1" } },
      { a: { constructor: "1" } }, { $not: { $and: [{ a: [] }] } },
    ]; // prettier-ignore
    for (const asked of nothing) assert.equal(readTagQuery(asked), undefined, JSON.stringify(asked));
    fc.assert(fc.property(fc.anything(), (asked) => void readTagQuery(asked)));
  });

  test("has a bounded number of clauses, and patterns of a bounded length", () => {
    const clauses = (count: number): Query => ({ $or: Array.from({ length: count }, () => ({ a: "1" })) });
    assert.ok(readTagQuery(clauses(255)));
    assert.equal(readTagQuery(clauses(256)), undefined);
    const empty = (count: number): Query => ({ $and: Array.from({ length: count }, () => ({})) });
    assert.ok(readTagQuery(empty(255)));
    assert.equal(readTagQuery(empty(256)), undefined);
    const many = Array.from({ length: 300 }, () => "x");
    assert.equal(readTagQuery({ a: { $in: many } }), undefined);
    assert.equal(readTagQuery({ $exist: many }), undefined);
    assert.equal(readTagQuery({ a: { $like: "%".repeat(65) } }), undefined);
    assert.equal(readTagQuery({ a: "x".repeat(513) }), undefined);
    const patterns = (count: number): Query => ({
      $and: Array.from({ length: count }, () => ({ a: { $like: "x%" } })),
    });
    assert.ok(readTagQuery(patterns(16)));
    assert.equal(readTagQuery(patterns(17)), undefined);
  });

  test("at its dearest takes milliseconds over one record", () => {
    const like = { $like: `%${"a_".repeat(15)}%${"_a".repeat(15)}b` };
    const dear = readTagQuery({ $or: Array.from({ length: 16 }, () => ({ t: like })) });
    const nearly = { $like: `%${"a".repeat(60)}b%` };
    const nearlyAll = readTagQuery({ $or: Array.from({ length: 16 }, () => ({ t: nearly })) });
    for (const asked of [dear, nearlyAll]) {
      const before = performance.now();
      asked?.({ t: "a".repeat(512) });
      assert.ok(asked !== undefined && performance.now() - before < 200);
    }
  });
});
