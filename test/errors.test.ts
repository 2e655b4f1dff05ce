import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { asKeysteadError, errorRegistry, KeysteadError, type ErrorCode } from "../src/errors.ts";
import { problemResponse } from "../src/http/problem.ts";

const src = join(dirname(fileURLToPath(import.meta.url)), "..", "src");
const codes = Object.keys(errorRegistry) as ErrorCode[];

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) =>
    ts.createSourceFile(path, readFileSync(join(src, path), "utf8"), ts.ScriptTarget.Latest, true),
  );

describe("the error registry", () => {
  test("holds no code that the service never raises", () => {
    const written = new Set<string>();
    for (const file of files) {
      if (file.fileName === "errors.ts") continue;
      visit(file, (node) => {
        if (ts.isStringLiteralLike(node)) written.add(node.text);
      });
    }
    assert.deepEqual(
      codes.filter((code) => !written.has(code)),
      [],
    );
  });

  test("gives every code a status of 4xx or 5xx and a title of its own", () => {
    const titles = new Set<string>();
    for (const code of codes) {
      const { status, title } = errorRegistry[code];
      assert.ok(status >= 400 && status <= 599, code);
      assert.match(code, /^[a-z]+(_[a-z]+)*$/);
      assert.match(title, /^[A-Z][^\n{}$]{8,80}[^.]$/, code);
      titles.add(title);
    }
    assert.equal(titles.size, codes.length);
  });

  test("is the only source of titles: what was sent or went wrong is not in an answer", () => {
    for (const code of codes) {
      const error = new KeysteadError(code, { cause: new Error("canary-3f91") });
      assert.equal(error.message, errorRegistry[code].title);
      const { status, body } = problemResponse(error, "request-1");
      assert.equal(status, errorRegistry[code].status);
      assert.equal(String(body).includes("canary-3f91"), false);
    }
  });

  test("makes internal_error of whatever else was thrown, and shows nothing of it", () => {
    for (const thrown of [new Error("canary-3f91"), "canary-3f91", { canary: "canary-3f91" }, undefined]) {
      const error = asKeysteadError(thrown);
      assert.equal(error.code, "internal_error");
      assert.equal(String(problemResponse(error, "request-1").body).includes("canary-3f91"), false);
      assert.equal(error.cause, thrown);
    }
    const known = new KeysteadError("conflict");
    assert.equal(asKeysteadError(known), known);
  });
});

describe("details of errors", () => {
  /** What may stand in a detail's template: numbers and names of this program's own tables. */
  const ownNames = new Set([
    "field",
    "bytesMax",
    "PAGE_LIMIT_MAX",
    "BATCH_ITEMS_MAX",
    "CHARACTERS_MIN",
    "CHARACTERS_MAX",
  ]);

  test("are constants, or made of this program's own names and numbers", () => {
    let seen = 0;
    // The API's description has a schema for details; a facade's refusals say those of an error in its own words.
    const own = files.filter(
      ({ fileName }) =>
        fileName !== "http/native/native-description.ts" && !/^facades\/[a-z-]+\/refusal\.ts$/.test(fileName),
    );
    for (const file of own) {
      visit(file, (node) => {
        const text = detailOf(node);
        if (text === undefined) return;
        seen++;
        const where = `${file.fileName}: ${text.getText()}`;
        if (ts.isStringLiteralLike(text)) return;
        if (ts.isTemplateExpression(text)) {
          for (const span of text.templateSpans) {
            assert.ok(
              ownNames.has(span.expression.getText()),
              `${where}: is ${span.expression.getText()} ours?`,
            );
          }
          return;
        }
        // Passed on under the same name, from a place that this test looks at as well.
        assert.ok(passedOn(file.fileName, text), `${where} is not a constant`);
      });
    }
    assert.ok(seen > 15, `only ${seen} details were found`);
  });
});

/** Functions whose one argument is a detail. */
const refusals = ["invalid", "badItems"];
const filesOfRefusals = [
  "crypto/material.ts",
  "http/native/native-route.ts",
  "http/native/json-batch.ts",
  "http/native/transfer-routes.ts",
  "service/issuer-operations.ts",
];

/** The text of a member `detail`, and of such a function's argument. */
function detailOf(node: ts.Node): ts.Expression | undefined {
  if (ts.isPropertyAssignment(node) && node.name.getText() === "detail") return node.initializer;
  if (ts.isShorthandPropertyAssignment(node) && node.name.text === "detail") return node.name;
  if (ts.isCallExpression(node) && refusals.includes(node.expression.getText())) return node.arguments[0];
  return undefined;
}

function passedOn(file: string, text: ts.Expression): boolean {
  const name = text.getText();
  // Inside those functions; the schemas' own messages, which native-route.ts picks; the problem document.
  return (
    (filesOfRefusals.includes(file) && name === "detail") ||
    (file === "http/problem.ts" && name === "error.detail")
  );
}

function visit(node: ts.Node, look: (node: ts.Node) => void): void {
  look(node);
  ts.forEachChild(node, (child) => {
    visit(child, look);
  });
}
