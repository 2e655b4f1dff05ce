/** docs/operations.md's table of severities, held to the operations. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { facadeOperations } from "../../src/facades/catalogue.ts";
import { facadeNames } from "../../src/facades/facade-names.ts";
import { nativeRoutes } from "../../src/http/native/native-api.ts";

test("docs/operations.md names every operation that is WARNING or CRITICAL, and no other", () => {
  const text = readFileSync(join(import.meta.dirname, "../../docs/operations.md"), "utf8");
  const all: readonly { readonly id: string; readonly severity?: string | undefined }[] = [
    ...nativeRoutes.map(({ operation }) => operation),
    ...facadeOperations(facadeNames),
  ];
  for (const severity of ["WARNING", "CRITICAL"]) {
    const row = new RegExp(`^\\| \`${severity}\` +\\| (.*?) *\\|$`, "m").exec(text)?.[1] ?? "";
    const ids = new Set(
      all.filter((operation) => operation.severity === severity).map(({ id }) => `\`${id}\``),
    );
    assert.equal(row, [...ids].sort().join(", "));
  }
});
