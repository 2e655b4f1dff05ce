/**
 * What the documents say of the code, held to the code: operations, fields, answers, errors, settings, roles, metrics, and
 * every link and file that a document names.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { z } from "zod";
import { algorithmOf, keyTypes, purposesOf } from "../../src/crypto/catalogue.ts";
import { asKeysteadError, errorRegistry } from "../../src/errors.ts";
import { facadeOperations } from "../../src/facades/catalogue.ts";
import { facadeNames } from "../../src/facades/facade-names.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import type { AnyNativeRoute } from "../../src/http/native/native-route.ts";
import {
  assertAllowed,
  keyChanges,
  keyStates,
  keyUses,
  type KeyChange,
  type KeyState,
  type KeyUse,
} from "../../src/keyring/key-states.ts";
import type { Key } from "../../src/keyring/key.ts";
import {
  cancellingDeletion,
  DELETION_DAYS_MAX,
  disabling,
  enabling,
  revoking,
  schedulingDeletion,
  updating,
  type Step,
} from "../../src/keyring/lifecycle.ts";
import { roles, scopes } from "../../src/policy/roles.ts";
import { clientSettings, serverSettings, type Setting } from "../../src/settings.ts";
import { startDev } from "../harness.ts";
import { REPOSITORY } from "../server-process.ts";

const read = (path: string): string => readFileSync(join(REPOSITORY, path), "utf8");
const documents = [
  ...readdirSync(REPOSITORY).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(REPOSITORY, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** What stands under a heading, up to the next one of its level or above. */
function section(document: string, heading: string): string {
  const level = /^#+/.exec(heading)?.[0].length ?? 0;
  const lines = read(document).split("\n");
  const start = lines.indexOf(heading);
  assert.notEqual(start, -1, `${document} has no heading "${heading}"`);
  const length = lines.slice(start + 1).findIndex((line) => new RegExp(`^#{1,${level}} `).test(line));
  return lines.slice(start + 1, length === -1 ? undefined : start + 1 + length).join("\n");
}

/** The rows of the tables in a text, cell by cell, without headings. */
function tableRows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
    .filter((_, i, rows) => !isRule(rows[i]) && !isRule(rows[i + 1]));
}

function isRule(row: string[] | undefined): boolean {
  return row !== undefined && row.every((cell) => /^:?-+:?$/.test(cell));
}

describe("docs/api.md", () => {
  const operations = new Map<string, AnyNativeRoute[]>();
  for (const route of nativeRoutes) {
    const { id } = route.operation;
    operations.set(id, [...(operations.get(id) ?? []), route]);
  }

  test("has a section for every operation and for no other, in the order of the table", () => {
    const headings = [...read("docs/api.md").matchAll(/^### (.+)$/gm)].map(([, heading]) => heading);
    assert.deepEqual(headings, [...operations.keys()]);
  });

  for (const [id, routes] of operations) {
    test(`says of ${id} its paths, scope, status, fields and answer`, () => {
      const text = section("docs/api.md", `### ${id}`);
      for (const route of routes) {
        const paths = [route.path, ...(route.alsoAt ?? [])].map((path) => `\`${route.method} ${path}\``);
        const { scope } = route.operation;
        const asked = scope === undefined ? "No scope: any caller" : `Scope \`${scope}\``;
        const facts = `${paths.join(" or ")}. ${asked}. Answers with ${route.status}.`;
        assert.ok(text.split("\n").includes(facts), `expected the line: ${facts}`);
      }
      assert.deepEqual(
        tableRows(text).map(([name, where]) => `${name ?? ""} ${where ?? ""}`),
        routes.flatMap(fieldsOf),
      );
      const answers = [...text.matchAll(/```json\n(.*?)```/gs)].map(([, answer = ""]) => answer);
      const responses = routes.flatMap(({ response }) => (response === undefined ? [] : [response]));
      assert.equal(answers.length, responses.length);
      for (const [i, response] of responses.entries()) response.parse(JSON.parse(answers[i] ?? ""));
    });
  }

  test("lists every key type and purpose as the catalogue has it", () => {
    const listed = (values: readonly string[] = []): string =>
      values.map((value) => `\`${value}\``).join(", ");
    assert.deepEqual(
      tableRows(section("docs/api.md", "## Key types")),
      keyTypes.flatMap((type) =>
        purposesOf(type).map((purpose) => {
          const algorithm = algorithmOf(type, purpose);
          const signs = algorithm.family === "signature" ? algorithm : undefined;
          const noncesMax = algorithm.family === "cipher" ? algorithm.noncesMax : undefined;
          assert.ok(noncesMax === undefined || noncesMax === 2 ** 32);
          return [
            `\`${type}\``,
            `\`${purpose}\``,
            algorithm.exportName,
            signs?.digestBytes === undefined ? "" : `${signs.digestBytes} bytes`,
            listed(signs?.schemes),
            listed(signs?.encodings),
            listed(algorithm.exportFormats),
            noncesMax === undefined ? "" : "2³²",
          ];
        }),
      ),
    );
  });

  test("says of every use and change in every state what the service does", () => {
    const text = section("docs/api.md", "## Key states");
    const [head] = text.split("\n").filter((line) => line.startsWith("|"));
    assert.deepEqual(
      head?.match(/`\w+`/g),
      keyStates.map((state) => `\`${state}\``),
    );
    assert.deepEqual(
      tableRows(text).map(([action, , ...cells]) => [action, ...cells]),
      [...keyUses, ...keyChanges].map((action) => [
        `\`${action}\``,
        ...keyStates.map((state) => refusalOf(action, state) ?? "yes"),
      ]),
    );
  });

  test("lists every error code with its status and title, in the order of the registry", () => {
    assert.deepEqual(
      tableRows(section("docs/api.md", "## Errors")),
      Object.entries(errorRegistry).map(([code, { status, title }]) => [
        `\`${code}\``,
        String(status),
        title,
      ]),
    );
  });

  test("shows an error with the members that errors have", async () => {
    await using service = await startDev();
    const answer = await service.request("POST", "/v1/keys", { name: "x", other: 1 });
    const shown = /```json\n(.*?)```/s.exec(section("docs/api.md", "## Errors"))?.[1] ?? "";
    const { request_id: id, ...problem } = JSON.parse(shown) as Record<string, unknown>;
    const { request_id: ownId, ...came } = answer.json;
    assert.deepEqual(came, problem);
    assert.equal(typeof id, typeof ownId);
  });
});

/** What the table of states, or the step that makes a change, refuses; undefined where it does not. */
function refusalOf(action: KeyUse | KeyChange, state: KeyState): string | undefined {
  const steps: Partial<Record<KeyUse | KeyChange, Step>> = {
    update: updating({}),
    enable: enabling(undefined),
    disable: disabling(undefined),
    revoke: revoking,
    schedule_deletion: schedulingDeletion(DELETION_DAYS_MAX),
    cancel_deletion: cancellingDeletion(undefined),
  };
  const time = new Date(0).toISOString();
  const key: Key = {
    id: "",
    projectId: "",
    revision: 1,
    name: "orders",
    type: "aes-256",
    purpose: "encrypt",
    state,
    createdAt: time,
    exportable: false,
    publicOnly: false,
    versions: [{ version: 1, createdAt: time }],
  };
  const step = steps[action];
  try {
    if (step === undefined) assertAllowed(state, action);
    else step(key, 0);
    return undefined;
  } catch (thrown) {
    return `\`${asKeysteadError(thrown).code}\``;
  }
}

/** The fields of a route as the documents' tables name them. */
function fieldsOf(route: AnyNativeRoute): string[] {
  return (["params", "query", "body"] as const).flatMap((part) => {
    const schema = route[part];
    if (schema === undefined) return [];
    const { properties = {}, required = [] } = z.toJSONSchema(schema, {
      io: "input",
      unrepresentable: "any",
    }) as { properties?: Record<string, unknown>; required?: string[] };
    const where = part === "params" ? "path" : part;
    return Object.keys(properties).map(
      (name) => `\`${name}\` ${where}${required.includes(name) ? "" : ", optional"}`,
    );
  });
}

describe("docs/compatibility.md", () => {
  test("lists every operation of the facades that the native API has no path for, with its scope", () => {
    const native = new Set(nativeRoutes.map(({ operation }) => operation.id));
    const rows = new Map<string, string[]>();
    for (const name of facadeNames) {
      for (const { id, scope } of facadeOperations([name])) {
        if (native.has(id)) continue;
        const [, asked = "", by = ""] = rows.get(id) ?? [
          `\`${id}\``,
          scope === undefined ? "" : `\`${scope}\``,
        ];
        const both = by.includes(`\`${name}\``) ? by : [by, `\`${name}\``].filter(Boolean).join(", ");
        rows.set(id, [`\`${id}\``, asked, both]);
      }
    }
    assert.deepEqual(
      tableRows(section("docs/compatibility.md", "## Operations of the facades")).map((row) =>
        row.slice(0, 3),
      ),
      [...rows.values()],
    );
  });
});

describe("docs/deployment.md", () => {
  test("lists every setting with its other names and its flag", () => {
    const shown = ({ name, aliases = [], flag, mayBeFile }: Setting): string[] => [
      [name, ...(mayBeFile === true ? [`${name}_FILE`] : []), ...aliases]
        .map((word) => `\`${word}\``)
        .join(" "),
      flag === undefined ? "" : `\`--${flag}\``,
    ];
    for (const [heading, settings] of [
      ["### Settings of the server", serverSettings],
      ["### Settings of the command line", clientSettings],
    ] as const) {
      const rows = tableRows(section("docs/deployment.md", heading));
      assert.deepEqual(
        rows.map(([names, flag]) => [names, flag]),
        (settings as readonly Setting[]).map(shown),
      );
    }
  });
});

describe("docs/security.md", () => {
  test("shows exactly the scopes of every role", () => {
    const roleNames = Object.keys(roles) as (keyof typeof roles)[];
    assert.deepEqual(
      tableRows(section("docs/security.md", "## Roles and scopes")),
      scopes.map((scope) => [
        `\`${scope}\``,
        ...roleNames.map((name) => (roles[name].scopes.has(scope) ? "yes" : "")),
      ]),
    );
  });

  test("names a test for every promise", () => {
    const rows = tableRows(section("docs/security.md", "## Promises and their tests"));
    assert.ok(rows.length > 20);
    for (const [promise = "", tests = ""] of rows) assert.match(tests, /`test\/[^`]+\.test\.ts`/, promise);
  });
});

describe("docs/operations.md", () => {
  test("lists every metric and no other", async () => {
    await using service = await startDev();
    await service.request("GET", "/v1/keys");
    const { text } = await service.request("GET", "/metrics");
    const series = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => `\`${name}\``);
    const rows = tableRows(section("docs/operations.md", "### Metrics"));
    assert.deepEqual(rows.map(([name = ""]) => name).sort(), series.sort());
  });

  test("explains every member of an audit entry and no other", async () => {
    const { canonicalLine } = await import("../../src/audit/entry.ts");
    const { serviceFacts } = await import("../../src/audit/auditor.ts");
    const facts = { ...serviceFacts("key.rotate"), details: { reason: "nonces" } };
    const line = canonicalLine({ ...facts, id: "", node: "", time: "" }, 1);
    const members = Object.keys(JSON.parse(line) as object).map((member) => `\`${member}\``);
    const rows = tableRows(section("docs/operations.md", "### Members of an entry"));
    assert.deepEqual(
      rows.map(([member]) => member),
      members,
    );
  });
});

describe("docs/dependencies.md", () => {
  test("names every direct dependency with its pinned version", () => {
    const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
    for (const group of ["dependencies", "devDependencies", "optionalDependencies"]) {
      for (const [name, version] of Object.entries(manifest[group] ?? {})) {
        assert.ok(
          tableRows(read("docs/dependencies.md")).some(
            (row) => row[0] === `\`${name}\`` && row[1] === version,
          ),
          `${name} ${version}`,
        );
      }
    }
  });
});

describe("the documents", () => {
  test("link to files and headings that are there", () => {
    for (const document of documents) {
      for (const [, target = ""] of prose(document).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? document : join(dirname(document), path);
        assert.ok(existsSync(join(REPOSITORY, file)), `${document} links to ${target}`);
        if (anchor !== undefined) assert.ok(anchorsOf(file).has(anchor), `${document} links to ${target}`);
      }
    }
  });

  test("name only files of this repository that are there", () => {
    for (const document of documents) {
      for (const [, path = ""] of prose(document).matchAll(
        /`((?:src|cli|sdk|test|scripts|bin|bench|docs|\.ci)\/[\w./-]*)`/g,
      )) {
        assert.ok(existsSync(join(REPOSITORY, path)), `${document} names ${path}`);
      }
    }
  });
});

/** A document without its fenced blocks. */
function prose(document: string): string {
  return read(document).replaceAll(/^```.*?^```/gms, "");
}

/** The anchors that a reader's browser finds in a document. */
function anchorsOf(document: string): Set<string> {
  const headings = [...prose(document).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}
