import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { canonicalLine, parseLine, type AuditEntry } from "../../src/audit/entry.ts";

const text = fc.string({ unit: "binary", maxLength: 20 });
/** As this program names its details. */
const detailName = fc.string({ minLength: 1, maxLength: 8, unit: fc.constantFrom("a", "b", "z", "_") });
const entryWithout: fc.Arbitrary<Omit<AuditEntry, "details">> = fc.record({
  action: text,
  address: text,
  caller: text,
  decision: fc.constantFrom("allow", "deny"),
  id: text,
  node: text,
  outcome: text,
  project: text,
  request: text,
  resource: text,
  severity: fc.constantFrom("INFO", "WARNING", "CRITICAL"),
  time: text,
  version: fc.nat(),
});
const details = fc.dictionary(detailName, fc.oneof(text, fc.maxSafeInteger()), { noNullPrototype: true });
const entry: fc.Arbitrary<AuditEntry> = fc.oneof(
  entryWithout,
  fc.tuple(entryWithout, details).map(([facts, some]) => ({ ...facts, details: some })),
);
const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });

describe("the canonical line of an entry", () => {
  test("is one line of JSON with sorted members and no white space", () => {
    fc.assert(
      fc.property(entry, sequence, (one, at) => {
        const line = canonicalLine(one, at);
        assert.equal(line.indexOf("\n"), line.length - 1);
        assert.equal(line, `${stringifySorted({ ...one, sequence: at })}\n`);
      }),
    );
  });

  test("does not depend on the order in which members were set", () => {
    fc.assert(
      fc.property(entry, sequence, (one, at) => {
        const reversed = Object.fromEntries(Object.entries(one).reverse()) as unknown as AuditEntry;
        const both =
          one.details === undefined
            ? reversed
            : { ...reversed, details: Object.fromEntries(Object.entries(one.details).reverse()) };
        assert.equal(canonicalLine(both, at), canonicalLine(one, at));
      }),
    );
  });

  test("is the same whether its resource was just written about or not", () => {
    const some = fc.array(fc.tuple(entry, fc.constantFrom("key:a", "key:b")), { minLength: 2, maxLength: 6 });
    fc.assert(
      fc.property(some, text, sequence, (entries, other, at) => {
        for (const [one, resource] of entries) {
          // The first makes the frame, the second is set into it.
          for (const id of [one.id, other, "plain-1"]) {
            const again = { ...one, id, resource };
            assert.equal(canonicalLine(again, at), `${stringifySorted({ ...again, sequence: at })}\n`);
          }
        }
      }),
    );
  });

  test("is parsed back to the same entry and sequence", () => {
    fc.assert(
      fc.property(entry, sequence, (one, at) => {
        assert.deepEqual(parseLine(canonicalLine(one, at).slice(0, -1)), { ...one, sequence: at });
      }),
    );
  });
});

describe("parsing a line", () => {
  const one: AuditEntry = {
    action: "key.rotate",
    address: "127.0.0.1",
    caller: "service:billing",
    decision: "allow",
    details: { a: 1, b: "two" },
    id: "boot-1",
    node: "main",
    outcome: "ok",
    project: "default",
    request: "r-1",
    resource: "key:orders",
    severity: "INFO",
    time: "2026-01-02T03:04:05.678Z",
    version: 2,
  };
  const line = canonicalLine(one, 7).slice(0, -1);

  test("takes a line with exactly these bytes", () => {
    assert.equal(
      line,
      '{"action":"key.rotate","address":"127.0.0.1","caller":"service:billing","decision":"allow",' +
        '"details":{"a":1,"b":"two"},"id":"boot-1","node":"main","outcome":"ok","project":"default",' +
        '"request":"r-1","resource":"key:orders","sequence":7,"severity":"INFO",' +
        '"time":"2026-01-02T03:04:05.678Z","version":2}',
    );
    assert.deepEqual(parseLine(line), { ...one, sequence: 7 });
  });

  test("gives an entry only for a line that it would write itself", () => {
    fc.assert(
      fc.property(
        fc.nat(line.length - 1),
        fc.string({ maxLength: 2 }),
        fc.nat(2),
        (at, inserted, removed) => {
          const changed = line.slice(0, at) + inserted + line.slice(at + removed);
          const parsed = parseLine(changed);
          if (parsed !== undefined) assert.equal(canonicalLine(parsed, parsed.sequence), `${changed}\n`);
        },
      ),
      { numRuns: 2000 },
    );
  });

  for (const [what, changed] of [
    ["nothing", ""],
    ["white space", ` ${line}`],
    ["a line end", `${line}\n`],
    ["a torn end", line.slice(0, -1)],
    ["another order of members", `{"version":2,${line.slice(1).replace(',"version":2', "")}`],
    ["another order of details", line.replace('"a":1,"b":"two"', '"b":"two","a":1')],
    ["a member too many", line.replace("{", '{"aaa":1,')],
    [
      "a member twice",
      line.replace('"action":"key.rotate",', '"action":"key.rotate","action":"key.rotate",'),
    ],
    ["an escape that is not needed", line.replace("default", "\\u0064efault")],
    ["another spelling of a number", line.replace('"sequence":7', '"sequence":7.0')],
    ["another JSON value", "[]"],
    ["null", "null"],
    ["no JSON", "hello"],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.equal(parseLine(changed), undefined);
    });
  }
});

/** RFC 8785 for objects of strings and integers, written without our code. */
function stringifySorted(node: unknown): string {
  if (typeof node !== "object" || node === null) return JSON.stringify(node);
  const members = Object.entries(node as Record<string, unknown>)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inner]) => `${JSON.stringify(name)}:${stringifySorted(inner)}`);
  return `{${members.join(",")}}`;
}
