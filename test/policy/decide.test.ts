import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { credentialDelete, credentialGet, credentialStore } from "../../src/service/credential-operations.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import {
  ALL_PROJECTS,
  decide,
  explain,
  hasPart,
  type Binding,
  type Resource,
} from "../../src/policy/decide.ts";
import {
  builtInRoles,
  noOwnRoles,
  roleNames,
  roles,
  scopes,
  type OwnRoles,
  type RoleName,
  type Scope,
  type Statement,
} from "../../src/policy/roles.ts";

/** Role → scopes, written out by hand: a change of a role has to be made in both places. */
const expectedScopes: Record<RoleName, string> = {
  admin:
    "create_key import_key read_key list_keys update_key rotate_key disable_key revoke_key delete_key " +
    "encrypt decrypt sign verify mac generate_data_key " +
    "put_secret read_secret list_secrets delete_secret store_credential read_credential delete_credential " +
    "read_projects manage_projects manage_accounts manage_barrier",
  operator:
    "read_key list_keys encrypt decrypt sign verify mac generate_data_key " +
    "put_secret read_secret list_secrets delete_secret " +
    "store_credential read_credential delete_credential read_projects",
  reader: "read_key list_keys list_secrets read_projects",
  encrypter: "encrypt generate_data_key verify read_key",
  decrypter: "decrypt read_key",
  signer: "sign mac verify read_key",
  client: "create_key read_key rotate_key delete_key use_dek",
  "client-admin": "manage_accounts",
  exporter: "create_key read_key export_key",
};

const projects = ["p1", "p2"];
const names = ["", "orders", "orders-eu", "billing", "o", "a.b", "a-b", "*"];
const patterns = ["*", "orders", "orders*", "*-eu", "o*s", "a.b", "", "o**s", "*r*r*"];
/** Own roles that a binding may name; `gone` never is one. */
const ownNames = ["own-1", "own-2", "constructor", "gone"];

const binding: fc.Arbitrary<Binding> = fc.record(
  {
    id: fc.constant("id"),
    role: fc.oneof(fc.constantFrom(...roleNames), fc.constantFrom(...ownNames)),
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
const somePatterns = fc.uniqueArray(fc.constantFrom(...patterns), { minLength: 1, maxLength: 2 });
const statement: fc.Arbitrary<Statement> = fc
  .record(
    {
      effect: fc.constantFrom("allow" as const, "deny" as const),
      // Wide, so that statements meet the scope that is asked for often enough.
      scopes: fc.oneof(
        { weight: 3, arbitrary: fc.subarray([...scopes], { minLength: 8 }) },
        { weight: 1, arbitrary: fc.constant(["*"] as const) },
      ),
      patterns: somePatterns,
    },
    { requiredKeys: ["effect", "scopes"] },
  )
  .map((made) => made as Statement);
const ownRoles: fc.Arbitrary<OwnRoles> = fc
  .record({
    "own-1": fc.array(statement, { minLength: 1, maxLength: 3 }),
    "own-2": fc.array(statement, { minLength: 1, maxLength: 3 }),
    constructor: fc.array(statement, { minLength: 1, maxLength: 1 }),
  })
  .map((made) => new Map(Object.entries(made)));

describe("the decision", () => {
  test("is the reference model's, for any bindings, own roles, scope and resource", () => {
    const seen = { yes: 0, denied: 0, missing: 0 };
    fc.assert(
      fc.property(
        fc.array(binding, { maxLength: 4 }),
        scope,
        resource,
        ownRoles,
        (bindings, asked, about, own) => {
          const expected = model(bindings, asked, about, own);
          assert.equal(decide(bindings, asked, about, own), expected);
          const { allowed, reasons } = explain(bindings, asked, about, own);
          assert.equal(allowed, expected);
          assert.equal(
            allowed,
            reasons.some(({ effect }) => effect === "allow"),
          );
          if (allowed) seen.yes++;
          if (reasons.some(({ effect }) => effect === "deny")) seen.denied++;
          if (reasons.some(({ effect }) => effect === "role_missing")) seen.missing++;
        },
      ),
      { numRuns: 20_000 },
    );
    // A property over questions that are all answered alike would prove little.
    for (const [what, count] of Object.entries(seen)) assert.ok(count > 300, `${what}: ${count}`);
  });

  test("gives as reasons bindings and statements that suffice for it by themselves", () => {
    fc.assert(
      fc.property(
        fc.array(binding, { maxLength: 4 }),
        scope,
        resource,
        ownRoles,
        (bindings, asked, about, own) => {
          for (const { effect, binding: named, statement: number } of explain(bindings, asked, about, own)
            .reasons) {
            if (effect === "role_missing") assert.ok(!own.has(named.role) && !builtInRoles.has(named.role));
            if (number === undefined) continue;
            const said = own.get(named.role)?.[number - 1];
            assert.equal(said?.effect, effect);
            // A denial turned into a permission allows the same.
            const turned: OwnRoles = new Map([[named.role, [{ ...said, effect: "allow" }]]]);
            const specific = about.name === "" ? { ...about, name: undefined } : about;
            assert.equal(decide([named], asked, specific, turned), true);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });

  test("is no without bindings", () => {
    fc.assert(
      fc.property(scope, resource, ownRoles, (asked, about, own) =>
        assert.equal(decide([], asked, about, own), false),
      ),
    );
  });

  test("is a denial's wherever one binding denies, whatever else allows, in whatever order", () => {
    fc.assert(
      fc.property(
        fc.array(binding, { maxLength: 3 }),
        binding,
        scope,
        resource,
        ownRoles,
        fc.nat(3),
        (bindings, more, asked, about, own, at) => {
          const denying = explain([more], asked, about, own).reasons.some(({ effect }) => effect !== "allow");
          fc.pre(denying);
          assert.equal(decide(bindings.toSpliced(at, 0, more), asked, about, own), false);
        },
      ),
    );
  });

  test("with built-in roles alone never turns to no when a binding is added", () => {
    const builtIn = binding.filter(({ role }) => builtInRoles.has(role));
    fc.assert(
      fc.property(
        fc.array(builtIn, { maxLength: 3 }),
        builtIn,
        scope,
        resource,
        (bindings, more, asked, about) => {
          const before = decide(bindings, asked, about, noOwnRoles);
          assert.equal(
            decide([...bindings, more], asked, about, noOwnRoles),
            before || decide([more], asked, about, noOwnRoles),
          );
        },
      ),
    );
  });

  test("denies everything in the project of a binding whose role is not there, and nothing elsewhere", () => {
    const admin: Binding = { id: "a", role: "admin", project: ALL_PROJECTS };
    const lost: Binding = { id: "b", role: "gone", project: "p1", pattern: "orders*" };
    for (const asked of scopes.filter((name) => !["kms:export_key", "kms:use_dek"].includes(name))) {
      assert.equal(
        decide([admin, lost], asked, { project: "p1", name: "billing" }, noOwnRoles),
        false,
        asked,
      );
      assert.equal(
        decide([admin, lost], asked, { project: "p1", name: undefined }, noOwnRoles),
        false,
        asked,
      );
      assert.equal(decide([admin, lost], asked, { project: "p2", name: "orders" }, noOwnRoles), true, asked);
      assert.equal(decide([admin, lost], asked, { project: undefined, name: "x" }, noOwnRoles), true, asked);
      const everywhere = { ...lost, project: ALL_PROJECTS };
      assert.equal(
        decide([admin, everywhere], asked, { project: undefined, name: "x" }, noOwnRoles),
        false,
        asked,
      );
    }
  });

  test("on names: a denial for some lets the list through, and bars what is not there like what is", () => {
    const own: OwnRoles = new Map([
      ["careful", [{ effect: "deny", scopes: ["*"], patterns: ["prod-*"] }] satisfies Statement[]],
    ]);
    const bindings: Binding[] = [
      { id: "a", role: "admin", project: "p1" },
      { id: "b", role: "careful", project: "p1" },
    ];
    const ask = (name: string | undefined): boolean =>
      decide(bindings, "kms:read_key", { project: "p1", name }, own);
    assert.deepEqual(
      ["prod-1", "test-1", undefined, ""].map((name) => ask(name)),
      [false, true, true, false],
    );
    // Narrowed by the binding's own pattern, it denies only what fits both.
    const narrowed = [bindings[0]!, { ...bindings[1]!, pattern: "*-eu" }];
    const askNarrowed = (name: string): boolean =>
      decide(narrowed, "kms:read_key", { project: "p1", name }, own);
    assert.deepEqual(["prod-1", "prod-eu", "test-eu"].map(askNarrowed), [true, false, true]);
  });

  test("on a role called as objects' own members are is that role's", () => {
    for (const role of ["constructor", "__proto__", "tostring", "valueof"]) {
      const bindings = [{ id: "a", role, project: "p1" }];
      const about = { project: "p1", name: "k" };
      assert.equal(decide(bindings, "kms:encrypt", about, noOwnRoles), false);
      const own: OwnRoles = new Map([[role, [{ effect: "allow", scopes: ["kms:encrypt"] }]]]);
      assert.equal(decide(bindings, "kms:encrypt", about, own), true);
    }
  });

  test("is no in another project, whatever the role", () => {
    for (const role of roleNames) {
      for (const asked of scopes) {
        const bindings = [{ id: "id", role, project: "p1" }];
        assert.equal(
          decide(bindings, asked, { project: "p2", name: "orders" }, noOwnRoles),
          false,
          `${role} ${asked}`,
        );
        assert.equal(
          decide(bindings, asked, { project: undefined, name: "orders" }, noOwnRoles),
          false,
          `${role} ${asked}`,
        );
      }
    }
  });

  test("on what belongs to no project takes a binding to all projects without a pattern", () => {
    const about = { project: undefined, name: "somebody" };
    const ask = (given: Omit<Binding, "id">): boolean =>
      decide([{ id: "id", ...given }], "kms:manage_accounts", about, noOwnRoles);
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
        decide(
          [{ id: "id", role, project: ALL_PROJECTS }],
          "kms:export_key",
          { project: "p1", name: "k" },
          noOwnRoles,
        ),
      ),
      ["exporter"],
    );
  });
});

describe("a project", () => {
  const own: OwnRoles = new Map<string, readonly Statement[]>([
    ["some", [{ effect: "allow", scopes: ["kms:encrypt"] }]],
    ["none", [{ effect: "deny", scopes: ["*"] }]],
  ]);
  test("is there to whom some role may allow something in it, and to nobody else", () => {
    for (const [role, expected] of [
      ["reader", true],
      ["some", true],
      ["none", false],
      ["gone", false],
    ] as const) {
      for (const [project, isHere] of [
        ["p1", true],
        [ALL_PROJECTS, true],
        ["p2", false],
      ] as const)
        assert.equal(hasPart([{ id: "id", role, project }], "p1", own), expected && isHere, role + project);
    }
  });
});

describe("the native operations", () => {
  const operations = new Map(nativeRoutes.map(({ operation }) => [operation.id, operation]));

  test("that ask for no scope are these and no others", () => {
    const open = [...operations.values()].filter((operation) => operation.scope === undefined);
    assert.deepEqual(open.map(({ id }) => id).sort(), [
      "caller.whoami",
      "login.create",
      "login.refresh",
      "login.revoke",
      "policy.explain",
      "project.list",
      "random.generate",
      "signup.redeem",
    ]);
  });

  for (const { id, scope: asked, inProject } of operations.values()) {
    if (asked === undefined) continue;
    test(`${id} is allowed to the roles that hold ${asked}, and to no other`, () => {
      for (const role of roleNames) {
        const holds = ` ${expectedScopes[role]} `.includes(` ${asked.slice("kms:".length)} `);
        const about = { project: inProject ? "p1" : undefined, name: "orders" };
        const bindings = (project: string): Binding[] => [{ id: "id", role, project }];
        assert.equal(decide(bindings(ALL_PROJECTS), asked, about, noOwnRoles), holds, role);
        assert.equal(decide(bindings("p1"), asked, about, noOwnRoles), holds && inProject, role);
        assert.equal(decide(bindings("p2"), asked, about, noOwnRoles), false, role);
      }
    });
  }

  test("between them ask for every scope there is", () => {
    const asked = new Set([...operations.values()].map((operation) => operation.scope));
    // Read by project.list to decide what its caller sees.
    asked.add("kms:read_projects");
    // Asked for by the operations of Go KMS's API.
    asked.add("kms:use_dek");
    // Their operations have routes on a facade only.
    for (const operation of [credentialStore, credentialGet, credentialDelete]) asked.add(operation.scope);
    assert.deepEqual(
      scopes.filter((name) => !asked.has(name)),
      [],
    );
  });
});

/** The rules as sentences, one after the other, without a shortcut. */
function model(bindings: readonly Binding[], asked: Scope, about: Resource, own: OwnRoles): boolean {
  const all = bindings
    .filter(({ project }) => project === "*" || project === about.project)
    .flatMap(({ role, pattern }): Statement[] => {
      const narrowed = (text: Statement): Statement[] => sentences(text, pattern);
      if (role in expectedScopes && builtInRoles.has(role)) {
        const list = expectedScopes[role as RoleName].split(" ").map((name) => `kms:${name}` as Scope);
        return narrowed({ effect: "allow", scopes: list });
      }
      const said = own.get(role);
      // Nobody knows what it denied: everything.
      if (said === undefined) return [{ effect: "deny", scopes: ["*"] }];
      return said.flatMap(narrowed);
    })
    .filter((text) => text.scopes.some((name) => name === "*" || name === asked));
  const holds = (text: Statement): boolean => {
    // Each statement by now is about all names (no pattern) or about those that match each of its patterns.
    if (text.patterns === undefined) return true;
    if (about.project === undefined) return false;
    if (about.name === undefined) return text.effect === "allow";
    if (about.name === "" && text.effect === "deny") return true;
    return text.patterns.every((pattern) => asExpression(pattern).test(about.name ?? ""));
  };
  return (
    !all.some((text) => text.effect === "deny" && holds(text)) &&
    all.some((text) => text.effect === "allow" && holds(text))
  );
}

/** A statement as one for each of its patterns, each held to the binding's pattern as well. */
function sentences({ patterns: any, ...text }: Statement, pattern: string | undefined): Statement[] {
  const both = pattern === undefined ? [] : [pattern];
  if (any === undefined) return [pattern === undefined ? text : { ...text, patterns: both }];
  return any.map((one) => ({ ...text, patterns: [one, ...both] }));
}

function asExpression(pattern: string): RegExp {
  const literals = pattern.split("*").map((text) => text.replaceAll(/[.*+?^${}()|[\]\\-]/g, "\\$&"));
  return new RegExp(`^${literals.join("[^]*")}$`);
}
