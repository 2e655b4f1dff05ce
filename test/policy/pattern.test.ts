import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { matchesPattern } from "../../src/policy/pattern.ts";

describe("name patterns", () => {
  const piece = fc.constantFrom("*", "a", "b", "-", ".", "ab", "+", "$", "(");

  test("match what the regular expression of the pattern matches", () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        fc.array(piece, { maxLength: 12 }),
        (pieces, nameParts) => {
          const [pattern, name] = [pieces.join(""), nameParts.join("")];
          assert.equal(
            matchesPattern(pattern, name),
            asExpression(pattern).test(name),
            `${pattern} on ${name}`,
          );
        },
      ),
      { numRuns: 5000 },
    );
  });

  test("match what the regular expression matches, where ends overlap and repeat", () => {
    const few = fc.array(fc.constantFrom("*", "a", "b"), { maxLength: 5 });
    const name = fc.array(fc.constantFrom("a", "b"), { maxLength: 4 });
    fc.assert(
      fc.property(few, name, (pieces, nameParts) => {
        const [pattern, tried] = [pieces.join(""), nameParts.join("")];
        assert.equal(
          matchesPattern(pattern, tried),
          asExpression(pattern).test(tried),
          `${pattern} on ${tried}`,
        );
      }),
      { numRuns: 5000 },
    );
    // A name too short to hold both ends.
    assert.equal(matchesPattern("a*a", "a"), false);
    assert.equal(matchesPattern("ab*bc", "abc"), false);
    assert.equal(matchesPattern("a*b*b", "ab"), false);
  });

  test("match any name that fills their stars", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 5 }),
        fc.string(),
        (parts, end) => {
          const fixed = (text: string): string => text.replaceAll("*", "x");
          const pattern = parts.map(([literal]) => `${fixed(literal)}*`).join("") + fixed(end);
          const name = parts.map(([literal, filling]) => fixed(literal) + filling).join("") + fixed(end);
          assert.ok(matchesPattern(pattern, name));
        },
      ),
    );
  });

  test("are no slower on a name made to be slow", () => {
    const started = performance.now();
    assert.equal(matchesPattern(`${"a*".repeat(30)}b`, "a".repeat(100_000)), false);
    assert.ok(performance.now() - started < 1000);
  });

  test("that are absent match every name", () => {
    fc.assert(fc.property(fc.string(), (name) => assert.ok(matchesPattern(undefined, name))));
  });
});

function asExpression(pattern: string): RegExp {
  const literals = pattern.split("*").map((text) => text.replaceAll(/[.*+?^${}()|[\]\\-]/g, "\\$&"));
  return new RegExp(`^${literals.join("[^]*")}$`);
}
