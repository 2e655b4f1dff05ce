import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { KeysteadClient } from "../../sdk/client.ts";
import { CHUNK_BYTES, headerOf, KIND_MESSAGE, KIND_STREAM } from "../../sdk/envelope-format.ts";
import { DataKeyCaches, LocalCipher } from "../../sdk/local-cipher.ts";
import { serviceFor, startDev } from "../harness.ts";

const FAILED = { name: "KeysteadDecryptionError", code: "decryption_failed" };
const TAGGED_BYTES = CHUNK_BYTES + 16;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** What a stream of bytes becomes, fed in pieces of any size. */
async function through(
  transform: TransformStream<Uint8Array, Uint8Array>,
  bytes: Uint8Array,
  pieceBytes = 100_000,
): Promise<Buffer> {
  let at = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at < bytes.length) controller.enqueue(bytes.subarray(at, (at += pieceBytes)));
      else controller.close();
    },
  });
  const parts: Uint8Array[] = [];
  for await (const part of source.pipeThrough(transform)) parts.push(part);
  return Buffer.concat(parts);
}

describe("local encryption against the service", () => {
  const service = serviceFor(() => startDev());
  const client = (project?: string): KeysteadClient => new KeysteadClient({ url: service().url, project });
  let keys = 0;
  const newCipher = async (keystead = client()): Promise<LocalCipher & { readonly keyName: string }> => {
    const name = `local-${keys++}`;
    await keystead.key.create(name);
    return Object.assign(keystead.envelope(name), { keyName: name });
  };

  test("opens what it encrypted, here and in another process, text and bytes, with context and additional data", async () => {
    const here = await newCipher();
    const there = client().envelope(here.keyName);
    for (const plaintext of ["", "grüße", randomBytes(256), randomBytes(3_000_000)]) {
      for (const call of [
        {},
        { context: "tenant" },
        { context: randomBytes(9), aad: "id" },
        { aad: randomBytes(3) },
      ]) {
        const message = await here.encrypt(plaintext, call);
        for (const cipher of [here, there]) {
          const opened = Buffer.from(await cipher.decrypt(message, call));
          assert.ok(opened.equals(Buffer.from(plaintext as string)));
        }
      }
    }
    const message = await here.encrypt("a", { context: "ü", aad: "ü" });
    const asBytes = new TextEncoder().encode("ü");
    assert.equal(text(await there.decrypt(message, { context: asBytes, aad: asBytes })), "a");
  });

  test("refuses another context, additional data, key or project, cached or not", async () => {
    const keystead = client();
    const cipher = await newCipher(keystead);
    const other = await newCipher(keystead);
    await keystead.project.create("local-other");
    const elsewhere = client("local-other");
    await elsewhere.key.create(cipher.keyName);
    const call = { context: "a", aad: "b" };
    const message = await cipher.encrypt("secret", call);
    const stream = await through(cipher.encryptStream(call), Buffer.from("secret"));
    const strangers = [
      ...[{ context: "b", aad: "b" }, { context: "a" }, { aad: "b" }, { context: "a", aad: "c" }].map(
        (wrong) => [cipher, wrong] as const,
      ),
      ...[other, elsewhere.envelope(cipher.keyName)].map((wrong) => [wrong, call] as const),
    ];
    for (const [wrong, wrongCall] of strangers) {
      await wrong.encrypt("warm", wrongCall);
      await assert.rejects(wrong.decrypt(message, wrongCall), FAILED);
      await assert.rejects(through(wrong.decryptStream(wrongCall), stream), FAILED);
    }
    assert.equal(text(await cipher.decrypt(message, call)), "secret");
  });

  test("a message with any bit flipped, or cut anywhere, does not open", async () => {
    const cipher = await newCipher();
    const message = Buffer.from(await cipher.encrypt("secret"));
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = Buffer.from(message);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      await assert.rejects(cipher.decrypt(changed), FAILED, `bit ${bit}`);
    }
    for (let length = 0; length < message.length; length++) {
      await assert.rejects(cipher.decrypt(message.subarray(0, length)), FAILED, `length ${length}`);
    }
    await assert.rejects(cipher.decrypt(Buffer.concat([message, Buffer.alloc(1)])), FAILED);
  });

  test("arbitrary bytes, and arbitrary ones after a good beginning, fail with the one error", async () => {
    const cipher = await newCipher();
    const sealed = Buffer.from(await cipher.encrypt("secret"));
    const stream = await through(cipher.encryptStream(), Buffer.from("secret"));
    const beginnings = [
      Buffer.alloc(0),
      ...[sealed, stream].flatMap((whole) =>
        [3, 4, 6, 70, 102, 134].map((length) => whole.subarray(0, length)),
      ),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...beginnings),
        fc.uint8Array({ maxLength: 300 }),
        async (start, rest) => {
          const bytes = Buffer.concat([start, rest]);
          await assert.rejects(cipher.decrypt(bytes), FAILED);
          await assert.rejects(through(cipher.decryptStream(), bytes), FAILED);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("streams of every length around a chunk's end, in pieces of any size, come back whole", async () => {
    const cipher = await newCipher();
    const lengths = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 300_000];
    for (const length of lengths) {
      const bytes = randomBytes(length);
      const sealed = await through(cipher.encryptStream({ context: "c", aad: "a" }), bytes, 77_777);
      for (const pieceBytes of [1_000, TAGGED_BYTES, 1_000_000]) {
        const opened = await through(cipher.decryptStream({ context: "c", aad: "a" }), sealed, pieceBytes);
        assert.ok(opened.equals(bytes), `${length} in ${pieceBytes}`);
      }
    }
  });

  test("a stream that is cut, moved, doubled, lengthened or given another's header fails at its end at the latest", async () => {
    const cipher = await newCipher();
    const plaintext = randomBytes(3 * CHUNK_BYTES + 5);
    const sealed = await through(cipher.encryptStream(), plaintext);
    const another = await through(cipher.encryptStream(), plaintext);
    const headBytes = sealed.length - 3 * TAGGED_BYTES - 5 - 16;
    const head = sealed.subarray(0, headBytes);
    const [first, second, third] = [0, 1, 2].map((i) =>
      sealed.subarray(headBytes + i * TAGGED_BYTES, headBytes + (i + 1) * TAGGED_BYTES),
    ) as [Buffer, Buffer, Buffer];
    const last = sealed.subarray(headBytes + 3 * TAGGED_BYTES);
    const changed: Record<string, readonly Buffer[]> = {
      "without its last chunk": [head, first, second, third],
      "cut at a chunk": [head, first, second],
      "only a header": [head],
      "cut in a chunk": [sealed.subarray(0, sealed.length - 1)],
      "chunks swapped": [head, second, first, third, last],
      "a chunk doubled": [head, first, first, second, third, last],
      "a chunk left out": [head, first, third, last],
      "the last one first": [head, last],
      "a chunk added": [sealed, last],
      "a byte added": [sealed, Buffer.alloc(1)],
      "another's header": [another.subarray(0, headBytes), first, second, third, last],
      "another's chunk": [head, first, another.subarray(headBytes + TAGGED_BYTES)],
    };
    for (const [what, parts] of Object.entries(changed)) {
      for (const pieceBytes of [50_000, 10_000_000]) {
        await assert.rejects(through(cipher.decryptStream(), Buffer.concat(parts), pieceBytes), FAILED, what);
      }
    }
    for (let bit = 0; bit < headBytes * 8; bit += 5) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      await assert.rejects(through(cipher.decryptStream(), flipped), FAILED, `bit ${bit}`);
    }
    const message = await cipher.encrypt("a message is no stream");
    await assert.rejects(through(cipher.decryptStream(), message), FAILED);
    await assert.rejects(cipher.decrypt(sealed), FAILED);
  });

  test("gives out of a changed stream only what was authentic before the change", async () => {
    const cipher = await newCipher();
    const plaintext = randomBytes(4 * CHUNK_BYTES);
    const sealed = await through(cipher.encryptStream(), plaintext);
    sealed[sealed.length - 2 * TAGGED_BYTES + 100]! ^= 1;
    const given: Uint8Array[] = [];
    const pieces = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < sealed.length; at += 1000) controller.enqueue(sealed.subarray(at, at + 1000));
        controller.close();
      },
    });
    await assert.rejects(async () => {
      for await (const part of pieces.pipeThrough(cipher.decryptStream())) given.push(part);
    }, FAILED);
    assert.ok(Buffer.concat(given).equals(plaintext.subarray(0, 2 * CHUNK_BYTES)));
  });

  test("two messages, and two streams, of the same plaintext share no bytes but the header", async () => {
    const cipher = await newCipher();
    const tails = [];
    for (let i = 0; i < 600; i++) tails.push(text((await cipher.encrypt("same")).subarray(-32)));
    assert.equal(new Set(tails).size, 600);
    const streams = [1, 2].map(() => through(cipher.encryptStream(), Buffer.from("same")));
    const [one, two] = (await Promise.all(streams)) as [Buffer, Buffer];
    assert.ok(!one.subarray(70, 102).equals(two.subarray(70, 102)));
  });

  test("opens messages of before a rotation, and a revoked key's only while its data key is cached", async () => {
    const keystead = client();
    const cipher = await newCipher(keystead);
    const message = await cipher.encrypt("before");
    await keystead.key.rotate(cipher.keyName);
    keystead.dataKeys.clear();
    assert.equal(text(await cipher.decrypt(message)), "before");
    assert.equal(text(await cipher.decrypt(await cipher.encrypt("after"))), "after");
    await keystead.key.revoke(cipher.keyName);
    assert.equal(text(await cipher.decrypt(message)), "before");
    keystead.dataKeys.clear();
    await assert.rejects(cipher.decrypt(message), { name: "KeysteadApiError", code: "key_revoked" });
    await assert.rejects(cipher.encrypt("more"), { name: "KeysteadApiError", code: "key_revoked" });
  });

  test("a thousand first messages of a context fetch one data key", async () => {
    const keystead = client();
    const cipher = await newCipher(keystead);
    const messages = await Promise.all(
      Array.from({ length: 1000 }, (_, i) => cipher.encrypt(String(i), { context: "one" })),
    );
    const headers = messages.map((message) => text(message.subarray(0, 70)));
    assert.equal(new Set(headers).size, 1);
    assert.equal(keystead.dataKeys.encryption.size, 1);
    await cipher.encrypt("a", { context: "two" });
    assert.equal(keystead.dataKeys.encryption.size, 2);
  });

  test("what cannot be encrypted is refused: half a character", async () => {
    const cipher = await newCipher();
    for (const call of [{ context: "\ud800" }, { aad: "\ud800" }]) {
      await assert.rejects(cipher.encrypt("a", call), { code: "invalid_encoding" });
    }
    await assert.rejects(cipher.encrypt("\ud800"), { code: "invalid_encoding" });
  });

  test("goes on with warm data keys until their time when the service is gone, and fails clearly with cold ones", async () => {
    await using gone = await startDev();
    let now = 0;
    const keystead = new KeysteadClient({
      url: gone.url,
      retriesMax: 0,
      dataKeyCache: { ttlSeconds: 900, now: () => now },
    });
    await keystead.key.create("warm");
    const warm = keystead.envelope("warm");
    const message = await warm.encrypt("before");
    await gone.close();
    now += 899_999;
    assert.equal(text(await warm.decrypt(message)), "before");
    assert.equal(text(await warm.decrypt(await warm.encrypt("meanwhile"))), "meanwhile");
    const unavailable = { name: "KeysteadDataKeyError", code: "data_key_unavailable" };
    await assert.rejects(warm.encrypt("secret", { context: "cold" }), unavailable);
    await assert.rejects(
      through(warm.encryptStream({ context: "cold" }), Buffer.from("secret")),
      unavailable,
    );
    now += 1;
    await assert.rejects(warm.encrypt("late"), unavailable);
    await assert.rejects(warm.decrypt(message), unavailable);
  });
});

describe("the format of local encryption", () => {
  interface Vector {
    readonly kind: "message" | "stream";
    readonly dataKey: string;
    readonly context: string;
    readonly aad: string;
    readonly plaintextSha256: string;
    readonly sealed: string;
  }
  const vectors = JSON.parse(
    readFileSync(join(import.meta.dirname, "envelope-vectors.json"), "utf8"),
  ) as readonly Vector[];
  const hex = (value: string): Buffer => Buffer.from(value, "hex");

  test("is the one that was written down: fixed messages and streams open, on every runtime", async () => {
    for (const { kind, dataKey, context, aad, plaintextSha256, sealed } of vectors) {
      const service = {
        decrypt: async () => ({ plaintext: Uint8Array.from(hex(dataKey)), version: 1 }),
        generateDataKey: () => Promise.reject(new Error("nothing is encrypted here")),
      };
      const cipher = new LocalCipher(service, "vectors", undefined, new DataKeyCaches());
      const call = { context: hex(context), aad: hex(aad) };
      const bytes = Buffer.from(sealed, "base64");
      const opened =
        kind === "message"
          ? await cipher.decrypt(bytes, call)
          : await through(cipher.decryptStream(call), bytes);
      assert.equal(createHash("sha256").update(opened).digest("hex"), plaintextSha256);
    }
    assert.ok(vectors.length >= 6);
  });

  test("has headers for wrapped keys of 1 to 4096 bytes, each kind with its own", () => {
    for (const length of [0, 4097])
      assert.throws(() => headerOf(KIND_MESSAGE, Buffer.alloc(length)), RangeError);
    assert.equal(headerOf(KIND_MESSAGE, Buffer.from([7, 8])).toString("hex"), "4b53450100020708");
    assert.equal(headerOf(KIND_STREAM, Buffer.from([9])).toString("hex"), "4b534502000109");
  });
});
