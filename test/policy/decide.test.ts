import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import {
  ALL_PROJECTS,
  decide,
  matchesPattern,
  type Binding,
  type Resource,
} from "../../src/policy/decide.ts";
import { roleNames, roles, scopes, type RoleName, type Scope } from "../../src/policy/roles.ts";

/** Role → scopes, written out by hand: a change of a role has to be made in both places. */
const expectedScopes: Record<RoleName, string> = {
  admin:
    "create_key import_key read_key list_keys update_key rotate_key disable_key revoke_key delete_key " +
    "encrypt decrypt sign verify mac generate_data_key " +
    "put_secret read_secret list_secrets delete_secret read_projects manage_projects manage_accounts manage_barrier",
  operator:
    "read_key list_keys encrypt decrypt sign verify mac generate_data_key " +
    "put_secret read_secret list_secrets delete_secret read_projects",
  reader: "read_key list_keys list_secrets read_projects",
  encrypter: "encrypt generate_data_key verify read_key",
  decrypter: "decrypt read_key",
  signer: "sign mac verify read_key",
  exporter: "create_key read_key export_key",
};

const projects = ["p1", "p2"];
const names = ["orders", "orders-eu", "billing", "o", "a.b", "a-b", "*"];
const patterns = ["*", "orders", "orders*", "*-eu", "o*s", "a.b", "", "o**s", "*r*r*"];

const binding: fc.Arbitrary<Binding> = fc.record(
  {
    id: fc.constant("id"),
    role: fc.constantFrom(...roleNames),
    project: fc.constantFrom(ALL_PROJECTS, ...projects),
    pattern: fc.constantFrom(...patterns),
  },
  { requiredKeys: ["id", "role", "project"] },
);
const resource: fc.Arbitrary<Resource> = fc.record({
  project: fc.constantFrom(undefined, ...projects),
  name: fc.constantFrom(undefined, ...names),
});
const scope = fc.constantFrom(...scopes);

describe("the decision", () => {
  test("is the reference model's, for any bindings, scope and resource", () => {
    fc.assert(
      fc.property(fc.array(binding, { maxLength: 4 }), scope, resource, (bindings, asked, about) => {
        assert.equal(decide(bindings, asked, about), model(bindings, asked, about));
      }),
      { numRuns: 5000 },
    );
  });

  test("is no without bindings", () => {
    fc.assert(fc.property(scope, resource, (asked, about) => assert.equal(decide([], asked, about), false)));
  });

  test("never turns to no when a binding is added, nor to yes when one is taken away", () => {
    fc.assert(
      fc.property(
        fc.array(binding, { maxLength: 3 }),
        binding,
        scope,
        resource,
        (bindings, more, asked, about) => {
          const before = decide(bindings, asked, about);
          assert.equal(decide([...bindings, more], asked, about), before || decide([more], asked, about));
        },
      ),
    );
  });

  test("is no in another project, whatever the role", () => {
    for (const role of roleNames) {
      for (const asked of scopes) {
        const bindings = [{ id: "id", role, project: "p1" }];
        assert.equal(decide(bindings, asked, { project: "p2", name: "orders" }), false, `${role} ${asked}`);
        assert.equal(
          decide(bindings, asked, { project: undefined, name: "orders" }),
          false,
          `${role} ${asked}`,
        );
      }
    }
  });

  test("on what belongs to no project takes a binding to all projects without a pattern", () => {
    const about = { project: undefined, name: "somebody" };
    const ask = (given: Omit<Binding, "id">): boolean =>
      decide([{ id: "id", ...given }], "kms:manage_accounts", about);
    assert.equal(ask({ role: "admin", project: ALL_PROJECTS }), true);
    assert.equal(ask({ role: "admin", project: ALL_PROJECTS, pattern: "*" }), false);
    assert.equal(ask({ role: "admin", project: "p1" }), false);
    assert.equal(ask({ role: "operator", project: ALL_PROJECTS }), false);
  });
});

describe("roles", () => {
  for (const role of roleNames) {
    test(`${role} holds exactly its scopes`, () => {
      const expected = expectedScopes[role].split(" ").map((name) => `kms:${name}`);
      assert.deepEqual([...roles[role].scopes].sort(), expected.sort());
    });
  }

  test("export of keys is in the exporter's role and in no other", () => {
    assert.deepEqual(
      roleNames.filter((role) =>
        decide([{ id: "id", role, project: ALL_PROJECTS }], "kms:export_key", { project: "p1", name: "k" }),
      ),
      ["exporter"],
    );
  });
});

describe("the native operations", () => {
  const operations = new Map(nativeRoutes.map(({ operation }) => [operation.id, operation]));

  test("that ask for no scope are these and no others", () => {
    const open = [...operations.values()].filter((operation) => operation.scope === undefined);
    assert.deepEqual(open.map(({ id }) => id).sort(), ["caller.whoami", "project.list", "random.generate"]);
  });

  for (const { id, scope: asked, inProject } of operations.values()) {
    if (asked === undefined) continue;
    test(`${id} is allowed to the roles that hold ${asked}, and to no other`, () => {
      for (const role of roleNames) {
        const holds = ` ${expectedScopes[role]} `.includes(` ${asked.slice("kms:".length)} `);
        const about = { project: inProject ? "p1" : undefined, name: "orders" };
        const bindings = (project: string): Binding[] => [{ id: "id", role, project }];
        assert.equal(decide(bindings(ALL_PROJECTS), asked, about), holds, role);
        assert.equal(decide(bindings("p1"), asked, about), holds && inProject, role);
        assert.equal(decide(bindings("p2"), asked, about), false, role);
      }
    });
  }

  test("between them ask for every scope there is", () => {
    const asked = new Set([...operations.values()].map((operation) => operation.scope));
    // Read by project.list to decide what its caller sees.
    asked.add("kms:read_projects");
    assert.deepEqual(
      scopes.filter((name) => !asked.has(name)),
      [],
    );
  });
});

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

/** The rules as sentences, one after the other, without a shortcut. */
function model(bindings: readonly Binding[], asked: Scope, about: Resource): boolean {
  return bindings.some(({ role, project, pattern }) => {
    const inRole = ` ${expectedScopes[role]} `.includes(` ${asked.replace("kms:", "")} `);
    if (about.project === undefined) return inRole && project === "*" && pattern === undefined;
    const inScope = project === "*" || project === about.project;
    const named = about.name === undefined || pattern === undefined || asExpression(pattern).test(about.name);
    return inRole && inScope && named;
  });
}

function asExpression(pattern: string): RegExp {
  const literals = pattern.split("*").map((text) => text.replaceAll(/[.*+?^${}()|[\]\\-]/g, "\\$&"));
  return new RegExp(`^${literals.join("[^]*")}$`);
}
