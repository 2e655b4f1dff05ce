/**
 * ML-KEM and ML-DSA through the service, for what the published vectors do not reach (ML-KEM-1024, signing): properties of
 * the standards, and the platforms' independent implementations against each other.
 */
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { serviceFor, startDev, type Answer } from "../harness.ts";
import { askPeer, otherRuntimeIsMissing } from "./other-runtime.ts";
import { batch } from "./vector-service.ts";

const VERSION_BYTES = 4;
/** How many single bits are turned in one signature. */
const FLIPS = 200;
const message = Buffer.from("a message that both sides know");

describe("post-quantum keys through the service", () => {
  const service = serviceFor(() => startDev());
  let exporter = "";
  let keys = 0;

  before(async () => {
    exporter = await service().token("exporter", { kind: "service" });
  });

  const post = async (path: string, body: object, status = 200): Promise<Answer> => {
    const answer = await service().request("POST", path, body);
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  const create = async (type: string): Promise<string> => {
    const name = `key-${++keys}`;
    await post("/v1/keys", { name, type, exportable: true }, 201);
    return name;
  };
  const importKey = async (body: object): Promise<string> => {
    const name = `key-${++keys}`;
    await post(`/v1/keys/${name}/import`, body, 201);
    return name;
  };
  const pkcs8Of = async (name: string): Promise<string> => {
    const body = { format: "pkcs8" };
    const answer = await service().request("POST", `/v1/keys/${name}/export`, body, { token: exporter });
    assert.equal(answer.status, 200, answer.text);
    return String(answer.json["material_b64"]);
  };
  const spkiOf = async (name: string): Promise<string> => {
    const shown = await service().request("GET", `/v1/keys/${name}/public-key`);
    return String(shown.json["public_key_pem"]).replaceAll(/-----[^-]+-----|\n/g, "");
  };

  for (const { type, algorithm, publicKeyBytes } of [
    { type: "ml-kem-768", algorithm: "ML-KEM-768", publicKeyBytes: 1184 },
    { type: "ml-kem-1024", algorithm: "ML-KEM-1024", publicKeyBytes: 1568 },
  ]) {
    const encapsulate = async (name: string): Promise<{ secret: string; ciphertext: Buffer }> => {
      const { json } = await post(`/v1/keys/${name}/encapsulate`, {});
      const ciphertext = Buffer.from(String(json["ciphertext"]), "base64");
      return { secret: String(json["shared_secret_b64"]), ciphertext };
    };
    const decapsulate = async (name: string, ciphertext: Buffer): Promise<string> => {
      const body = { ciphertext: ciphertext.toString("base64") };
      return String((await post(`/v1/keys/${name}/decapsulate`, body)).json["shared_secret_b64"]);
    };

    test(`${algorithm}: an encapsulation opens to its own secret; each is another`, async () => {
      const name = await create(type);
      const made = await Promise.all([1, 2, 3, 4].map(() => encapsulate(name)));
      for (const { secret, ciphertext } of made) assert.equal(await decapsulate(name, ciphertext), secret);
      assert.equal(new Set(made.map(({ secret }) => secret)).size, made.length);
    });

    // FIPS 203 §6.3: rejection is implicit, and the secret of an altered ciphertext follows from it and the key alone.
    test(`${algorithm}: an altered ciphertext, or one for another key, gives a secret of no use, always the same`, async () => {
      const [name, other] = [await create(type), await create(type)];
      const { secret, ciphertext } = await encapsulate(name);
      const altered = Buffer.from(ciphertext);
      altered[VERSION_BYTES + 500] = (altered[VERSION_BYTES + 500] ?? 0) ^ 1;
      const useless = [await decapsulate(name, altered), await decapsulate(other, ciphertext)];
      assert.equal(new Set([secret, ...useless]).size, 3);
      assert.deepEqual([await decapsulate(name, altered), await decapsulate(other, ciphertext)], useless);
    });

    test(`${algorithm}: a ciphertext of another length is refused`, async () => {
      const name = await create(type);
      const { ciphertext } = await encapsulate(name);
      for (const wrong of [
        ciphertext.subarray(0, -1),
        Buffer.concat([ciphertext, Buffer.of(0)]),
        ciphertext.subarray(0, VERSION_BYTES),
        Buffer.alloc(0),
      ]) {
        const body = { ciphertext: wrong.toString("base64") };
        const answer = await post(`/v1/keys/${name}/decapsulate`, body, 400);
        assert.equal(answer.json["code"], "decryption_failed");
      }
    });

    test(`${algorithm}: the public part alone encapsulates to the key's holder and opens nothing`, async () => {
      const name = await create(type);
      const material = { type, format: "spki", material_b64: await spkiOf(name) };
      const publicName = await importKey(material);
      const { secret, ciphertext } = await encapsulate(publicName);
      assert.equal(await decapsulate(name, ciphertext), secret);
      const body = { ciphertext: ciphertext.toString("base64") };
      const refused = await post(`/v1/keys/${publicName}/decapsulate`, body, 400);
      assert.equal(refused.json["code"], "key_public_only");
    });

    // FIPS 203 §7.2: every coefficient of an encapsulation key is below the modulus.
    test(`${algorithm}: a public key with a coefficient that is not reduced is refused`, async () => {
      const spki = Buffer.from(await spkiOf(await create(type)), "base64");
      const start = spki.length - publicKeyBytes;
      spki.fill(0xff, start, start + 3);
      const material = { type, format: "spki", material_b64: spki.toString("base64") };
      const refused = await post(`/v1/keys/key-${++keys}/import`, material, 400);
      assert.equal(refused.json["code"], "invalid_key_material");
    });

    test(
      `${algorithm}: both platforms derive the same key and open what the other encapsulated`,
      { skip: otherRuntimeIsMissing },
      async () => {
        const name = await create(type);
        const { secret, ciphertext } = await encapsulate(name);
        const peer = askPeer({
          ask: "kem",
          algorithm,
          pkcs8: await pkcs8Of(name),
          ciphertext: ciphertext.subarray(VERSION_BYTES).toString("base64"),
        });
        assert.equal(peer.spki, await spkiOf(name));
        assert.equal(peer.sharedSecret, secret);
        const theirs = [ciphertext.subarray(0, VERSION_BYTES), Buffer.from(peer.made.ciphertext, "base64")];
        assert.equal(await decapsulate(name, Buffer.concat(theirs)), peer.made.sharedSecret);
      },
    );

    test(
      `${algorithm}: both platforms reject an altered ciphertext with the same secret`,
      { skip: otherRuntimeIsMissing },
      async () => {
        const name = await create(type);
        const { ciphertext } = await encapsulate(name);
        ciphertext[VERSION_BYTES] = (ciphertext[VERSION_BYTES] ?? 0) ^ 0x80;
        const peer = askPeer({
          ask: "kem",
          algorithm,
          pkcs8: await pkcs8Of(name),
          ciphertext: ciphertext.subarray(VERSION_BYTES).toString("base64"),
        });
        assert.equal(await decapsulate(name, ciphertext), peer.sharedSecret);
      },
    );
  }

  for (const size of [44, 65, 87]) {
    const type = `ml-dsa-${size}`;
    const sent = { message_b64: message.toString("base64") };
    const sign = async (name: string): Promise<Buffer> =>
      Buffer.from(String((await post(`/v1/keys/${name}/sign`, sent)).json["signature_b64"]), "base64");

    test(`ML-DSA-${size}: signatures of one message differ, and each is good for it alone`, async () => {
      const name = await create(type);
      const signatures = [await sign(name), await sign(name)].map((one) => one.toString("base64"));
      assert.notEqual(signatures[0], signatures[1]);
      for (const signature of signatures) {
        const verdicts = await batch(service(), `/v1/keys/${name}/verify/batch`, [
          { ...sent, signature_b64: signature },
          { message: "another", signature_b64: signature },
        ]);
        assert.deepEqual(verdicts, [{ valid: true, version: 1 }, { valid: false }]);
      }
    });

    test(`ML-DSA-${size}: a signature with any one bit turned, a byte less or a byte more is refused`, async () => {
      const name = await create(type);
      const signature = await sign(name);
      const step = (signature.length * 8) / FLIPS;
      const wrong: Buffer[] = Array.from({ length: FLIPS }, (_, i) => {
        const bit = Math.floor(i * step);
        const copy = Buffer.from(signature);
        copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        return copy;
      });
      wrong.push(signature.subarray(0, -1), Buffer.concat([signature, Buffer.of(0)]), Buffer.alloc(0));
      const items = wrong.map((one) => ({ ...sent, signature_b64: one.toString("base64") }));
      const verdicts = await batch(service(), `/v1/keys/${name}/verify/batch`, items);
      assert.deepEqual(
        verdicts,
        items.map(() => ({ valid: false })),
      );
    });

    test(
      `ML-DSA-${size}: both platforms derive the same key and verify what the other signed`,
      { skip: otherRuntimeIsMissing },
      async () => {
        const name = await create(type);
        const peer = askPeer({
          ask: "signature",
          pkcs8: await pkcs8Of(name),
          message: sent.message_b64,
          signature: (await sign(name)).toString("base64"),
        });
        assert.equal(peer.spki, await spkiOf(name));
        assert.equal(peer.valid, true);
        const verdict = await post(`/v1/keys/${name}/verify`, { ...sent, signature_b64: peer.signature });
        assert.equal(verdict.json["valid"], true);
      },
    );
  }
});
