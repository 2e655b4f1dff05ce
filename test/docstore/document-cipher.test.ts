/** The bytes that bind a document and a wrapped key to their places: every name is in them, none runs into the next. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { documentAad, wrappedDekAad } from "../../docstore/document-cipher.ts";

const length = (count: number): string => String.fromCharCode(0, 0, 0, count);

test("the additional data of a document names project, collection and id, each with its length", () => {
  assert.equal(
    documentAad({ project: "shop", collection: "orders", id: "42" }).toString("latin1"),
    `keystead-docstore/1${length(4)}shop${length(6)}orders${length(2)}42`,
  );
});

test("the additional data of a wrapped key names project and version", () => {
  assert.equal(
    wrappedDekAad("shop", 12).toString("latin1"),
    `keystead-docstore-dek/1${length(4)}shop${length(2)}12`,
  );
});
