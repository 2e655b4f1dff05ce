/**
 * The walls of the house: which file may import which. Types count as imports.
 * Invariant: every rule is tried on an import that breaks it, so that a rule that has gone blind is noticed.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const folders = ["src", "cli", "sdk", "docstore", "console"];

interface Import {
  /** A path in the repository, `node:…`, or a package's name. */
  readonly target: string;
  /** The names that are taken from it; "*" where that is not said. */
  readonly names: readonly string[];
}

interface Source {
  readonly path: string;
  readonly imports: readonly Import[];
  /** Global names that the file uses. */
  readonly globals: ReadonlySet<string>;
}

interface Rule {
  readonly title: string;
  readonly forbids: (from: string, target: string, names: readonly string[]) => boolean;
  /** Imports that the rule has to find: from, target, and the names that are imported. */
  readonly breaches: readonly (readonly [string, string, ...string[]])[];
}

const isIn = (path: string, ...places: readonly string[]): boolean =>
  places.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place));
const isOurs = (target: string): boolean => isIn(target, ...folders.map((folder) => `${folder}/`));

const rules: readonly Rule[] = [
  {
    title: "crypto imports nothing of ours but bytes and errors",
    forbids: (from, target) =>
      isIn(from, "src/crypto/") &&
      isOurs(target) &&
      !isIn(target, "src/crypto/", "src/bytes.ts", "src/errors.ts"),
    breaches: [
      ["src/crypto/rsa.ts", "src/keyring/key.ts"],
      ["src/crypto/rsa.ts", "sdk/client.ts"],
    ],
  },
  {
    title: "crypto does no I/O",
    // But for the worker that lowers its own thread's priority.
    forbids: (from, target) =>
      isIn(from, "src/crypto/") &&
      isInputOutput(target) &&
      !(from === "src/crypto/off-loop-worker.ts" && target === "node:os"),
    breaches: [
      ["src/crypto/rsa.ts", "node:fs"],
      ["src/crypto/rsa.ts", "node:fs/promises"],
    ],
  },
  {
    title: "storage does not know crypto, keyring or http",
    forbids: (from, target) =>
      isIn(from, "src/storage/") && isIn(target, "src/crypto/", "src/keyring/", "src/http/"),
    breaches: [["src/storage/sqlite.ts", "src/crypto/digest.ts"]],
  },
  {
    title: "a facade knows no other facade, and neither keyring, crypto, storage, policy nor audit",
    forbids(from, target) {
      const own = /^src\/facades\/[^/]+\//.exec(from)?.[0];
      return (
        own !== undefined &&
        ((isIn(target, "src/facades/") && !isIn(target, own)) ||
          isIn(target, "src/keyring/", "src/crypto/", "src/storage/", "src/policy/", "src/audit/"))
      );
    },
    breaches: [
      ["src/facades/go-kms/routes.ts", "src/facades/mini-kms/routes.ts"],
      ["src/facades/go-kms/routes.ts", "src/keyring/keyring.ts"],
      ["src/facades/go-kms/routes.ts", "src/policy/decide.ts"],
    ],
  },
  {
    title: "policy imports nothing but itself",
    forbids: (from, target) => isIn(from, "src/policy/") && !isIn(target, "src/policy/"),
    breaches: [
      ["src/policy/decide.ts", "node:fs"],
      ["src/policy/decide.ts", "zod"],
      ["src/policy/decide.ts", "src/storage/store.ts"],
    ],
  },
  {
    title: "audit does not know keyring or secrets",
    forbids: (from, target) => isIn(from, "src/audit/") && isIn(target, "src/keyring/", "src/secrets/"),
    breaches: [["src/audit/entry.ts", "src/secrets/secrets.ts"]],
  },
  {
    title: "the SDK imports nothing of the service, nor of what is built on it",
    forbids: (from, target) => isIn(from, "sdk/") && isOurs(target) && !isIn(target, "sdk/"),
    breaches: [
      ["sdk/client.ts", "src/errors.ts"],
      ["sdk/client.ts", "cli/output.ts"],
    ],
  },
  {
    title: "document store and console are built on the SDK alone, the command line on both",
    forbids(from, target) {
      const own = /^(cli|docstore|console)\//.exec(from)?.[0];
      if (own === undefined || isIn(from, "cli/host/")) return false;
      return isOurs(target) && !isIn(target, own, "sdk/", ...(own === "cli/" ? ["docstore/"] : []));
    },
    breaches: [
      ["cli/program.ts", "src/settings.ts"],
      ["docstore/store.ts", "src/crypto/aes-gcm.ts"],
      ["docstore/store.ts", "cli/output.ts"],
      ["console/app.ts", "cli/output.ts"],
    ],
  },
  {
    title: "the service does not know what is built on it",
    forbids: (from, target) => isIn(from, "src/") && isIn(target, "cli/", "sdk/", "docstore/", "console/"),
    breaches: [["src/compose.ts", "cli/program.ts"]],
  },
  {
    title: "nothing imports main.ts but the command line's own server command",
    forbids: (from, target) => target === "src/main.ts" && from !== "cli/host/server.ts",
    breaches: [["src/dev-screen.ts", "src/main.ts"]],
  },
  {
    title: "nothing imports compose.ts but what starts a service",
    // The screen is a part of main.ts: it is handed the whole service and shows what it is.
    forbids: (from, target) =>
      target === "src/compose.ts" && !isIn(from, "src/main.ts", "src/dev-screen.ts", "cli/host/"),
    breaches: [
      ["src/http/admission.ts", "src/compose.ts"],
      ["cli/program.ts", "src/compose.ts"],
    ],
  },
  {
    title:
      "node:crypto stays in crypto, but for the constant-time comparison in bytes.ts, the SDK's own use and the document store's cipher",
    forbids: (from, target, names) =>
      ["node:crypto", "crypto"].includes(target) &&
      !isIn(from, "src/crypto/", "sdk/", "docstore/document-cipher.ts") &&
      !(from === "src/bytes.ts" && names.join() === "timingSafeEqual"),
    breaches: [
      ["src/identity/accounts.ts", "node:crypto", "randomUUID"],
      ["src/bytes.ts", "node:crypto", "timingSafeEqual", "randomBytes"],
      ["src/bytes.ts", "node:crypto", "*"],
      ["cli/program.ts", "node:crypto", "createHash"],
      ["docstore/doc-store.ts", "node:crypto", "randomBytes"],
    ],
  },
  {
    title: "@noble stays in crypto",
    forbids: (from, target) => target.startsWith("@noble/") && !isIn(from, "src/crypto/"),
    breaches: [["src/seal/barrier.ts", "@noble/ciphers"]],
  },
  {
    title: "Bun's own modules stay in listen-bun.ts",
    forbids: (from, target) => /^bun($|:|\/)/.test(target) && from !== "src/http/listen-bun.ts",
    breaches: [
      ["src/storage/sqlite.ts", "bun:sqlite"],
      ["src/main.ts", "bun"],
    ],
  },
  {
    title: "Node's modules are named with node:",
    forbids: (_from, target) =>
      ["fs", "path", "crypto", "http", "net", "url", "util", "buffer"].includes(target),
    breaches: [["src/main.ts", "fs"]],
  },
  {
    title: "there are no barrels",
    forbids: (_from, target) => isOurs(target) && /\/index\.ts$/.test(target),
    breaches: [["src/main.ts", "src/http/index.ts"]],
  },
];

const sources = folders
  .flatMap((folder) => (existsSync(join(root, folder)) ? filesUnder(folder) : []))
  .map(read);

describe("imports", () => {
  for (const { title, forbids, breaches } of rules) {
    test(title, () => {
      for (const [from, target, ...names] of breaches) {
        assert.ok(forbids(from, target, names), `the rule does not see ${from} → ${target}`);
      }
      const found = sources.flatMap(({ path, imports }) =>
        imports
          .filter(({ target, names }) => forbids(path, target, names))
          .map(({ target }) => `${path} → ${target}`),
      );
      assert.deepEqual(found, []);
    });
  }

  test("lead to files that are there, and name their ending", () => {
    const paths = new Set(sources.map(({ path }) => path));
    const missing = sources.flatMap(({ path, imports }) =>
      imports
        .filter(({ target }) => isOurs(target) && !paths.has(target))
        .map(({ target }) => `${path} → ${target}`),
    );
    assert.deepEqual(missing, []);
  });

  test("make no cycle, types included", () => {
    const edges = new Map(sources.map(({ path, imports }) => [path, imports.map(({ target }) => target)]));
    assert.deepEqual(findCycle(edges), undefined);
  });

  test("are read in every form, and cycles of any length are found", () => {
    const { imports, globals } = parse(
      "src/a/x.ts",
      `import a, { b as c } from "./a.ts";
       import type { T } from "../t.ts";
       import * as all from "node:fs";
       import "./effect.ts";
       export { d } from "./d.ts";
       export * from "./e.ts";
       const later = await import("./later.ts");
       type U = import("./u.ts").U;
       const worker = new Worker(new URL("./worker.ts", import.meta.url));
       const text = "import x from './not.ts'"; Bun.serve({}); const o = { Bun: 1 }; o.Bun;`,
    );
    assert.deepEqual(imports, [
      { target: "src/a/a.ts", names: ["default", "b"] },
      { target: "src/t.ts", names: ["T"] },
      { target: "node:fs", names: ["*"] },
      { target: "src/a/effect.ts", names: [] },
      { target: "src/a/d.ts", names: ["d"] },
      { target: "src/a/e.ts", names: ["*"] },
      { target: "src/a/later.ts", names: ["*"] },
      { target: "src/a/u.ts", names: ["*"] },
      { target: "src/a/worker.ts", names: ["*"] },
    ]);
    assert.ok(globals.has("Bun"));
    assert.equal(parse("src/x.ts", `const o = { Bun: 1 }; o.Bun; "Bun"; // Bun`).globals.has("Bun"), false);
    assert.ok(
      findCycle(
        new Map([
          ["a", ["b"]],
          ["b", ["c"]],
          ["c", ["b"]],
        ]),
      ),
    );
    assert.ok(findCycle(new Map([["a", ["a"]]])));
    assert.equal(
      findCycle(
        new Map([
          ["a", ["b", "c"]],
          ["b", ["c"]],
          ["c", []],
        ]),
      ),
      undefined,
    );
  });
});

describe("globals", () => {
  test("Bun is used in listen-bun.ts and nowhere else", () => {
    const users = sources.filter(({ globals }) => globals.has("Bun")).map(({ path }) => path);
    assert.deepEqual(users, ["src/http/listen-bun.ts"]);
  });

  test("the environment is read in config.ts's callers only", () => {
    const readers = sources.filter(({ path }) => path.startsWith("src/") && readsEnvironment(path));
    assert.deepEqual(
      readers.map(({ path }) => path),
      ["src/main.ts"],
    );
  });
});

function isInputOutput(target: string): boolean {
  return /^node:(fs|net|http|https|http2|tls|dgram|child_process|sqlite|readline|os)($|\/)/.test(target);
}

function readsEnvironment(path: string): boolean {
  return /\bprocess\s*\.\s*env\b|\bprocess\s*\[\s*["']env/.test(readFileSync(join(root, path), "utf8"));
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ["node_modules", "dist"].includes(entry.name) ? [] : filesUnder(path);
    return /\.(ts|tsx|mts)$/.test(entry.name) ? [path] : [];
  });
}

function read(path: string): Source {
  return parse(path, readFileSync(join(root, path), "utf8"));
}

function parse(path: string, text: string): Source {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const imports: Import[] = file.typeReferenceDirectives.map(({ fileName }) => ({
    target: fileName,
    names: ["*"],
  }));
  const globals = new Set<string>();
  const add = (specifier: string, names: readonly string[]): void => {
    const target = specifier.startsWith(".") ? posix.join(posix.dirname(path), specifier) : specifier;
    imports.push({ target, names });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      add(node.moduleSpecifier.text, namesOf(node.importClause));
    } else if (
      ts.isExportDeclaration(node) &&
      node.moduleSpecifier &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      const { exportClause } = node;
      const named = exportClause !== undefined && ts.isNamedExports(exportClause);
      add(node.moduleSpecifier.text, named ? exportClause.elements.map(importedName) : ["*"]);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [specifier] = node.arguments;
      // An import whose target is not written down cannot be walked.
      // But for the files that the operator names.
      if (path === "src/provider-modules.ts") return;
      assert.ok(specifier && ts.isStringLiteralLike(specifier), `${path}: an import() of something computed`);
      add(specifier.text, ["*"]);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      if (ts.isStringLiteral(node.argument.literal)) add(node.argument.literal.text, ["*"]);
    } else if (ts.isNewExpression(node) && node.expression.getText() === "URL") {
      const [specifier, base] = node.arguments ?? [];
      if (
        specifier &&
        ts.isStringLiteral(specifier) &&
        base?.getText() === "import.meta.url" &&
        /\.ts$/.test(specifier.text)
      ) {
        add(specifier.text, ["*"]);
      }
    } else if (ts.isIdentifier(node) && isGlobalUse(node)) {
      globals.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return { path, imports, globals };
}

/** Not a member's name: `o.Bun` and `{ Bun: 1 }` are something else. */
function isGlobalUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isQualifiedName(parent)) return parent.left === node;
  return !(
    ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isPropertyDeclaration(parent) ||
    ts.isImportSpecifier(parent) ||
    ts.isImportClause(parent)
  );
}

function namesOf(clause: ts.ImportClause | undefined): string[] {
  const bindings = clause?.namedBindings;
  return [
    ...(clause?.name === undefined ? [] : ["default"]),
    ...(bindings === undefined
      ? []
      : ts.isNamedImports(bindings)
        ? bindings.elements.map(importedName)
        : ["*"]),
  ];
}

function importedName(specifier: ts.ImportSpecifier | ts.ExportSpecifier): string {
  return (specifier.propertyName ?? specifier.name).text;
}

/** A path from a file back to itself, or undefined. */
function findCycle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): string[] | undefined => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path];
    if (done.has(path)) return undefined;
    for (const next of edges.get(path) ?? []) {
      const cycle = walk(next, [...trail, path]);
      if (cycle !== undefined) return cycle;
    }
    done.add(path);
    return undefined;
  };
  for (const path of edges.keys()) {
    const cycle = walk(path, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
