import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createHash, createPublicKey, verify } from "node:crypto";
import { describe, test } from "node:test";
import { BATCH_ITEMS_MAX } from "../../sdk/batch-calls.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { KeysteadItemError } from "../../sdk/item-error.ts";
import { serviceFor, startDev } from "../harness.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The results of a batch in which nothing failed. */
function all<T>(results: readonly (T | KeysteadItemError)[]): T[] {
  return results.map((result) => {
    if (result instanceof KeysteadItemError) throw result;
    return result;
  });
}

describe("the uses of a key through the client", () => {
  const service = serviceFor(() => startDev());
  const client = (): KeysteadClient => new KeysteadClient({ url: service().url });

  test("a version can be chosen, and a ciphertext moves to another version, key and context", async () => {
    const { key } = client();
    await key.create("r-a");
    await key.rotate("r-a");
    await key.create("r-b", { type: "chacha20-poly1305" });
    const old = await key.encrypt("r-a", "moves", { version: 1, aad: "one" });
    assert.equal(old.version, 1);
    const renewed = await key.reencrypt("r-a", old.ciphertext, { aad: "one" });
    assert.equal(renewed.version, 2);
    assert.equal(text((await key.decrypt("r-a", renewed.ciphertext, { aad: "one" })).plaintext), "moves");
    const bytes = Buffer.from(renewed.ciphertext, "base64");
    const moved = await key.reencrypt("r-a", bytes, { aad: "one", toKey: "r-b", toAad: "two" });
    assert.equal(text((await key.decrypt("r-b", moved.ciphertext, { aad: "two" })).plaintext), "moves");
    await assert.rejects(key.reencrypt("r-a", old.ciphertext), { code: "decryption_failed" });
  });

  test("a data key has the asked length, opens from its ciphertext, and can be had wrapped only", async () => {
    const { key } = client();
    await key.create("dk");
    for (const bytes of [16, 32, 64] as const) {
      const made = await key.generateDataKey("dk", { bytes, aad: "disk" });
      assert.equal(made.plaintext.length, bytes);
      const opened = await key.decrypt("dk", made.ciphertext, { aad: "disk" });
      assert.deepEqual(Uint8Array.from(opened.plaintext), Uint8Array.from(made.plaintext));
    }
    const wrapped = await key.generateWrappedDataKey("dk");
    assert.deepEqual(Object.keys(wrapped).sort(), ["ciphertext", "version"]);
    assert.equal((await key.decrypt("dk", wrapped.ciphertext)).plaintext.length, 32);
  });

  test("schemes and encodings are the ones that were asked for", async () => {
    const { key } = client();
    await key.create("s-rsa", { type: "rsa-2048" });
    await key.create("s-ec", { type: "ecdsa-p384" });
    const message = Buffer.from("hello");
    const rsa = createPublicKey((await key.public("s-rsa")).public_key_pem ?? "");
    const pss = await key.sign("s-rsa", { message }, { scheme: "pss" });
    assert.ok(verify("sha256", message, { key: rsa, padding: 6, saltLength: 32 }, pss.signature));
    assert.equal((await key.verify("s-rsa", { message }, pss.signature)).valid, false);
    assert.equal((await key.verify("s-rsa", { message }, pss.signature, { scheme: "pss" })).valid, true);
    const ec = createPublicKey((await key.public("s-ec")).public_key_pem ?? "");
    const raw = await key.sign("s-ec", { message }, { encoding: "raw", version: 1 });
    assert.equal(raw.signature.length, 96);
    assert.ok(verify("sha384", message, { key: ec, dsaEncoding: "ieee-p1363" }, raw.signature));
    const digest = createHash("sha384").update(message).digest();
    const verdict = await key.verify("s-ec", { digest }, raw.signature, { encoding: "raw" });
    assert.deepEqual(verdict, { valid: true, version: 1 });
  });

  test("MACs verify, shared secrets agree, and random bytes are as many as asked", async () => {
    const { key, random } = client();
    await key.create("m", { type: "hmac-256" });
    const { mac } = await key.mac("m", "message");
    assert.equal(mac.length, 32);
    assert.deepEqual(await key.verifyMac("m", "message", mac), { valid: true, version: 1 });
    assert.deepEqual(await key.verifyMac("m", "other", mac), { valid: false });
    await key.create("k", { type: "ml-kem-768" });
    const { sharedSecret, ciphertext } = await key.encapsulate("k");
    assert.equal(sharedSecret.length, 32);
    const opened = await key.decapsulate("k", ciphertext);
    assert.deepEqual(Uint8Array.from(opened.sharedSecret), Uint8Array.from(sharedSecret));
    for (const name of ["ours", "theirs"]) await key.create(name, { type: "x25519" });
    const publicBytes = async (name: string): Promise<Buffer> =>
      Buffer.from((await key.public(name)).jwk["x"] ?? "", "base64url");
    const options = { salt: Uint8Array.of(1), info: "orders", bytes: 48 };
    const ours = await key.agree("ours", await publicBytes("theirs"), options);
    const theirs = await key.agree("theirs", await publicBytes("ours"), options);
    assert.equal(ours.sharedSecret.length, 48);
    assert.deepEqual(Uint8Array.from(ours.sharedSecret), Uint8Array.from(theirs.sharedSecret));
    const plain = await key.agree("ours", await publicBytes("theirs"), { kdf: "none" });
    assert.equal(plain.sharedSecret.length, 32);
    assert.equal((await random.generate()).length, 32);
    assert.equal((await random.generate(4096)).length, 4096);
  });

  test("a batch gives each item its result in order, and a failure in the place of the item that failed", async () => {
    const { key } = client();
    await key.create("b");
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const encrypted = all(
      await key.encryptBatch("b", [
        { plaintext: "one" },
        { plaintext: bytes, aad: "two" },
        { plaintext: "" },
      ]),
    );
    const [one, two, three] = encrypted.map(({ ciphertext }) => ciphertext);
    const [first, second, third] = await key.decryptBatch("b", [
      { ciphertext: one ?? "" },
      { ciphertext: two ?? "", aad: "wrong" },
      { ciphertext: Buffer.from(three ?? "", "base64") },
    ]);
    assert.ok(first !== undefined && "plaintext" in first);
    assert.equal(text(first.plaintext), "one");
    assert.ok(second instanceof KeysteadItemError);
    assert.equal(second.code, "decryption_failed");
    assert.ok(third !== undefined && "plaintext" in third && third.plaintext.length === 0);
    await key.rotate("b");
    const moved = all(await key.reencryptBatch("b", [{ ciphertext: two ?? "", aad: "two", toAad: "three" }]));
    assert.equal(moved[0]?.version, 2);
    const opened = await key.decrypt("b", moved[0].ciphertext, { aad: "three" });
    assert.deepEqual(Uint8Array.from(opened.plaintext), bytes);
  });

  test("batches of signatures and MACs verify, each item with its own options", async () => {
    const { key } = client();
    await key.create("b-sign", { type: "ecdsa-p256" });
    const items = [{ message: "a" }, { message: "b", encoding: "raw" as const }];
    const signatures = all(await key.signBatch("b-sign", items)).map(({ signature }) => signature);
    assert.equal(signatures[1]?.length, 64);
    const signed = items.map((item, i) => ({ ...item, signature: signatures[i]! }));
    const verdicts = await key.verifyBatch("b-sign", [...signed, { ...signed[0]!, message: "c" }]);
    assert.deepEqual(verdicts, [{ valid: true, version: 1 }, { valid: true, version: 1 }, { valid: false }]);
    const second = all(await key.verifyBatch("b-sign", [{ ...signed[0]!, version: 1 }]));
    assert.equal(second[0]?.valid, true);
    await key.create("b-mac", { type: "hmac-512" });
    const macs = all(await key.macBatch("b-mac", [{ message: "a" }, { message: "b" }]));
    const answers = await key.verifyMacBatch("b-mac", [
      { message: "a", mac: macs[0]?.mac ?? new Uint8Array(1) },
      { message: "a", mac: macs[1]?.mac ?? new Uint8Array(1), version: 1 },
    ]);
    assert.deepEqual(answers, [{ valid: true, version: 1 }, { valid: false }]);
  });

  test("the binary form carries every byte, and opens what the other forms made", async () => {
    const { key } = client();
    await key.create("bulk", { type: "xaes-256" });
    const items = Array.from({ length: BATCH_ITEMS_MAX }, (_, i) => ({
      plaintext: Uint8Array.from({ length: i % 300 }, (_byte, j) => (i + j) & 0xff),
      aad: i % 2 === 0 ? undefined : `item ${i}`,
    }));
    const ciphertexts = all(await key.encryptBulk("bulk", items));
    const opened = all(
      await key.decryptBulk(
        "bulk",
        ciphertexts.map((ciphertext, i) => ({ ciphertext, aad: items[i]?.aad })),
      ),
    );
    for (const [i, { plaintext }] of items.entries()) assert.deepEqual(new Uint8Array(opened[i]!), plaintext);
    const single = await key.encrypt("bulk", "single");
    const [good, bad] = await key.decryptBulk("bulk", [
      { ciphertext: single.ciphertext },
      { ciphertext: ciphertexts[1]! },
    ]);
    assert.equal(text(good as Uint8Array), "single");
    assert.ok(bad instanceof KeysteadItemError && bad.code === "decryption_failed");
    const { plaintext } = await key.decrypt("bulk", ciphertexts[2]!);
    assert.deepEqual(new Uint8Array(plaintext), items[2]?.plaintext);
  });

  test("a batch that is refused as a whole is an error of the service, in both forms", async () => {
    const { key } = client();
    await assert.rejects(key.encryptBatch("absent", [{ plaintext: "x" }]), { code: "key_not_found" });
    await assert.rejects(key.encryptBulk("absent", [{ plaintext: "x" }]), { code: "key_not_found" });
    await key.create("b-limits");
    const many = Array.from({ length: BATCH_ITEMS_MAX + 1 }, () => ({ plaintext: "x" }));
    for (const call of [key.encryptBatch("b-limits", many), key.encryptBulk("b-limits", many)]) {
      await assert.rejects(call, { status: 413, code: "payload_too_large" });
    }
    await assert.rejects(key.encryptBatch("b-limits", []), { code: "invalid_body" });
    await assert.rejects(key.encryptBulk("b-limits", []), { code: "invalid_body" });
  });

  test("an answer that does not fit its batch is an error, not a wrong result", async () => {
    const frame = Buffer.from([0, 0, 0, 0, 1, 65]);
    const answers: [string, Uint8Array | string][] = [
      ["application/octet-stream", Buffer.concat([frame, frame])],
      ["application/octet-stream", frame.subarray(0, 5)],
      ["application/octet-stream", Buffer.concat([frame, Buffer.of(0)])],
      ["application/octet-stream", Buffer.from([2, 0, 0, 0, 1, 65])],
      ["application/octet-stream", ""],
      ["text/html", frame],
      ["application/json", '{"results":[],"failed":0}'],
      ["application/json", '{"results":[null],"failed":0}'],
    ];
    for (const [type, body] of answers) {
      const server = createServer((_, response) =>
        response.writeHead(200, { "content-type": type }).end(body),
      );
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      const { key } = new KeysteadClient({ url: `http://127.0.0.1:${port}` });
      const items = [{ plaintext: "x" }];
      const call = type === "application/json" ? key.encryptBatch("k", items) : key.encryptBulk("k", items);
      await assert.rejects(call, { code: "unexpected_answer" }, String(body));
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });
});
