import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseIdempotencyKey } from "../../src/http/idempotency-key.ts";
import { serviceFor, startDev } from "../harness.ts";

const visible = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code));
const key = fc.array(visible, { minLength: 1, maxLength: 255 }).map((characters) => characters.join(""));
const quote = (text: string): string => `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
const refused = (text: string): void => {
  assert.throws(() => parseIdempotencyKey(text), { code: "invalid_header" });
};

describe("the header Idempotency-Key", () => {
  test("means the same bare and quoted, whatever visible characters it has", () => {
    fc.assert(
      fc.property(key, (content) => {
        assert.equal(parseIdempotencyKey(quote(content)), content);
        if (!content.includes('"')) assert.equal(parseIdempotencyKey(content), content);
      }),
    );
    assert.equal(parseIdempotencyKey(undefined), undefined);
  });

  test("is taken whole or refused: no text is cut or mended", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
        let read: string | undefined;
        try {
          read = parseIdempotencyKey(text);
        } catch {
          return;
        }
        assert.ok(read === text || quote(read ?? "") === text);
        assert.match(read ?? "", /^[\x21-\x7e]{1,255}$/);
      }),
    );
  });

  test("is refused where it is empty, too long, not visible ASCII, or not quoted to its end", () => {
    for (const text of [
      "",
      '""',
      " ",
      "a b",
      "a\tb",
      "é",
      '"',
      '"a',
      'a"',
      'a"b',
      '"a"b"',
      '"a\\"',
      '"a\\b"',
    ]) {
      refused(text);
    }
    for (const text of ['"a";p=1', '"a", "b"', "a, b", '"a b"', "a".repeat(256), quote("a".repeat(256))]) {
      refused(text);
    }
    assert.equal(parseIdempotencyKey("a".repeat(255))?.length, 255);
  });
});

describe("over the wire", () => {
  const service = serviceFor(() => startDev());

  test("a malformed key is refused and nothing is made; two keys in two lines are no key", async () => {
    for (const value of ["", "a b", '"a', "a, a"]) {
      const answer = await service().request(
        "POST",
        "/v1/keys",
        { name: "never" },
        { headers: { "idempotency-key": value } },
      );
      assert.deepEqual([answer.status, answer.json["code"]], [400, "invalid_header"], value);
    }
    assert.equal((await service().request("GET", "/v1/keys/never")).status, 404);
  });

  test("what changes nothing ignores the header, whatever it says", async () => {
    await service().request("POST", "/v1/keys", { name: "k" });
    const headers = { "idempotency-key": "not a key" };
    const first = await service().request("POST", "/v1/encrypt/k", { plaintext: "x" }, { headers });
    const second = await service().request("POST", "/v1/encrypt/k", { plaintext: "x" }, { headers });
    assert.deepEqual([first.status, second.status], [200, 200]);
    assert.notEqual(first.json["ciphertext"], second.json["ciphertext"]);
    assert.equal(second.headers.get("idempotency-replayed"), null);
  });

  test("the description names both headers on every operation that changes something, and on no other", async () => {
    const { nativeRoutes } = await import("../../src/http/native/native-api.ts");
    const document = (await service().request("GET", "/openapi.json")).json as {
      paths: Record<
        string,
        Record<
          string,
          {
            parameters?: { name: string }[];
            responses: Record<string, { headers?: Record<string, unknown> }>;
          }
        >
      >;
    };
    for (const { operation, method, path, status } of nativeRoutes) {
      const described = document.paths[path]![method.toLowerCase()]!;
      const mutates = operation.replay !== undefined;
      const names = described.parameters?.map(({ name }) => name) ?? [];
      assert.equal(names.includes("Idempotency-Key"), mutates, operation.id);
      assert.equal(
        "Idempotency-Replayed" in (described.responses[status]!.headers ?? {}),
        mutates,
        operation.id,
      );
    }
  });
});
