import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("docs/provider.md shows the very provider that the tests run", () => {
  const [, block] = /```js\n(.*?)```/s.exec(read("docs/provider.md")) ?? [];
  assert.equal(block, read("test/crypto/sealed-files-provider.mjs"));
});

test("docs/provider.md lists the members of the interface in their order", () => {
  const [, body = ""] =
    /export interface CryptoProvider \{(.*?)\n\}/s.exec(read("src/crypto/provider.ts")) ?? [];
  const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, name]) => name);
  const listed = [...read("docs/provider.md").matchAll(/^\| `(\w+)(?:\([^`]*\))?` /gm)].map(
    ([, name]) => name,
  );
  assert.deepEqual(
    listed.filter((name) => !name?.startsWith("KEYSTEAD_")),
    members,
  );
});
