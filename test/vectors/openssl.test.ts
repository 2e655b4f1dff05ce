/**
 * The service against OpenSSL: what one signs, encrypts, wraps or exports, the other verifies, decrypts, unwraps, opens.
 * Invariant: OpenSSL holds only what the service's documents promise: PKCS#8, PEM, DER, and the layouts of its answers.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { opensslIsMissing } from "../crypto/openssl.ts";
import { serviceFor, startDev, type Answer } from "../harness.ts";
import { OpensslCommand } from "./openssl-command.ts";

interface SignatureRow {
  readonly title: string;
  readonly type: string;
  /** How OpenSSL makes such a key. */
  readonly generate: readonly string[];
  /** How OpenSSL is told the form. */
  readonly forms: readonly string[];
  readonly options?: Readonly<Record<string, string>>;
  readonly hash?: string;
  /** True where a ready digest is signed too. */
  readonly byDigest?: boolean;
  /** The curve whose signatures are r ‖ s here, DER there. */
  readonly raw?: typeof p256;
}

const PKCS1 = ["-pkeyopt", "rsa_padding_mode:pkcs1"];
const PSS = [
  ...["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:32"],
  ...["-pkeyopt", "rsa_mgf1_md:sha256"],
];
const OAEP = [
  ...["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256"],
  ...["-pkeyopt", "rsa_mgf1_md:sha256"],
];
/** RFC 5649 §3: the initial value, which OpenSSL wants to be told. */
const KWP_IV = "a65959a6";
const VERSION = Buffer.from("00000001", "hex");
const message = Buffer.from("a message that both sides know");

const rows: SignatureRow[] = [
  ...[2048, 3072, 4096].flatMap((bits) => {
    const key = {
      type: `rsa-${bits}`,
      generate: ["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`],
      hash: "sha256",
    };
    return [
      { ...key, title: `RSA-${bits} PKCS#1`, forms: PKCS1, byDigest: true },
      { ...key, title: `RSA-${bits} PSS`, forms: PSS, options: { scheme: "pss" } },
    ];
  }),
  ...(
    [
      ["P-256", p256, "sha256"],
      ["P-384", p384, "sha384"],
      ["P-521", p521, "sha512"],
      ["secp256k1", secp256k1, "sha256"],
    ] as const
  ).flatMap(([curve, raw, hash]) => {
    const key = {
      type: curve === "secp256k1" ? curve : `ecdsa-${curve.replace("-", "").toLowerCase()}`,
      generate: ["-algorithm", "EC", "-pkeyopt", `ec_paramgen_curve:${curve}`],
      forms: [],
      hash,
      byDigest: true,
    };
    return [
      { ...key, title: `ECDSA ${curve}, DER` },
      { ...key, title: `ECDSA ${curve}, raw`, raw, options: { encoding: "raw" } },
    ];
  }),
  { title: "Ed25519", type: "ed25519", generate: ["-algorithm", "ED25519"], forms: [] },
];

describe("OpenSSL and the service", { skip: opensslIsMissing }, () => {
  const service = serviceFor(() => startDev());
  const openssl = new OpensslCommand();
  const generated = new Map<string, Buffer>();
  let exporter = "";
  let keys = 0;

  const post = async (path: string, body: object, status = 200): Promise<Answer> => {
    const answer = await service().request("POST", path, body);
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  before(async () => {
    await post("/v1/accounts", { name: "exporter", kind: "service" }, 201);
    // To wrap under a key is to encrypt with it.
    for (const role of ["exporter", "encrypter"]) {
      await post("/v1/accounts/exporter/bindings", { role, project: "default" }, 201);
    }
    exporter = String((await post("/v1/accounts/exporter/tokens", { label: "test" }, 201)).json["token"]);
  });

  const bytesOf = (answer: Answer, field: string): Buffer =>
    Buffer.from(String(answer.json[field]), "base64");
  const importAs = async (body: object): Promise<string> => {
    const name = `imported-${++keys}`;
    await post(`/v1/keys/${name}/import`, body, 201);
    return name;
  };
  const importPkcs8 = (type: string, pkcs8: Buffer, more: object = {}): Promise<string> =>
    importAs({ type, format: "pkcs8", material_b64: pkcs8.toString("base64"), ...more });
  const createExportable = async (type: string, purpose?: string): Promise<string> => {
    const name = `created-${++keys}`;
    await post("/v1/keys", { name, type, purpose, exportable: true }, 201);
    return name;
  };
  const exported = async (name: string, body: object): Promise<Answer> => {
    const answer = await service().request("POST", `/v1/keys/${name}/export`, body, { token: exporter });
    assert.equal(answer.status, 200, answer.text);
    return answer;
  };
  const publicPem = async (name: string): Promise<string> => {
    const shown = await service().request("GET", `/v1/keys/${name}/public-key`);
    return String(shown.json["public_key_pem"]);
  };
  /** A key of OpenSSL's own in PKCS#8, one of each kind for the whole file. */
  const opensslKey = (generate: readonly string[]): Buffer => {
    const kind = generate.join(" ");
    let pkcs8 = generated.get(kind);
    if (pkcs8 === undefined) {
      const pem = openssl.file(openssl.run("genpkey", ...generate));
      pkcs8 = openssl.run("pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER");
      generated.set(kind, pkcs8);
    }
    return pkcs8;
  };
  const opensslPublicPem = (pkcs8: Buffer): string =>
    openssl.run("pkey", "-inform", "DER", "-in", openssl.file(pkcs8), "-pubout").toString();
  const wrapped = (kek: Buffer, bytes: Buffer): Buffer =>
    openssl.run(
      ...["enc", "-id-aes256-wrap-pad", "-e", "-K", kek.toString("hex"), "-iv", KWP_IV],
      ...["-in", openssl.file(bytes)],
    );
  const unwrapped = (kek: Buffer, bytes: Buffer): Buffer =>
    openssl.run(
      ...["enc", "-id-aes256-wrap-pad", "-d", "-K", kek.toString("hex"), "-iv", KWP_IV],
      ...["-in", openssl.file(bytes)],
    );

  for (const row of rows) {
    const { title, type, generate, forms, options = {}, hash, byDigest = false, raw } = row;
    const asDer = (signature: Buffer): Buffer =>
      raw === undefined
        ? signature
        : Buffer.from(raw.Signature.fromBytes(signature, "compact").toBytes("der"));
    const asOurs = (signature: Buffer): Buffer =>
      raw === undefined
        ? signature
        : Buffer.from(raw.Signature.fromBytes(signature, "der").toBytes("compact"));
    const hashed = hash === undefined ? ["-rawin"] : ["-rawin", "-digest", hash];
    const digest = createHash(hash ?? "sha256")
      .update(message)
      .digest();
    const whole = hash === undefined ? forms : [...forms, "-pkeyopt", `digest:${hash}`];

    test(`${title}: each verifies what the other signed, and nothing else`, async () => {
      const pkcs8 = opensslKey(generate);
      const name = await importPkcs8(type, pkcs8);
      const pem = opensslPublicPem(pkcs8);
      assert.equal(await publicPem(name), pem);
      const privateKey = ["-keyform", "DER", "-inkey", openssl.file(pkcs8)];
      const publicKey = ["-pubin", "-inkey", openssl.file(pem)];
      const messages = [
        { sent: { message_b64: message.toString("base64") }, args: [...hashed, ...forms], input: message },
        ...(byDigest
          ? [{ sent: { digest_b64: digest.toString("base64") }, args: whole, input: digest }]
          : []),
      ];
      for (const { sent, args, input } of messages) {
        const signed = await post(`/v1/keys/${name}/sign`, { ...sent, ...options });
        const signature = openssl.file(asDer(bytesOf(signed, "signature_b64")));
        const given = [...args, "-sigfile", signature];
        assert.ok(openssl.agrees("pkeyutl", "-verify", ...publicKey, "-in", openssl.file(input), ...given));
        const other = Buffer.from(input);
        other[0] = (other[0] ?? 0) ^ 1;
        assert.ok(!openssl.agrees("pkeyutl", "-verify", ...publicKey, "-in", openssl.file(other), ...given));

        const theirs = openssl.run("pkeyutl", "-sign", ...privateKey, "-in", openssl.file(input), ...args);
        const body = { ...options, signature_b64: asOurs(theirs).toString("base64") };
        for (const { sent: form } of messages) {
          const verdict = await post(`/v1/keys/${name}/verify`, { ...form, ...body });
          assert.equal(verdict.json["valid"], true);
        }
        const wrong = await post(`/v1/keys/${name}/verify`, { message: "another", ...body });
        assert.equal(wrong.json["valid"], false);
      }
    });
  }

  for (const { type, generate } of [...new Map(rows.map((row) => [row.type, row])).values()]) {
    test(`${type}: a key that was made here and exported as PKCS#8 is the same key in OpenSSL`, async () => {
      const name = await createExportable(type);
      const pkcs8 = bytesOf(await exported(name, { format: "pkcs8" }), "material_b64");
      assert.equal(opensslPublicPem(pkcs8), await publicPem(name));
      const check = ["pkey", "-inform", "DER", "-in", openssl.file(pkcs8), "-noout"];
      assert.ok(openssl.agrees(...check, ...(type === "ed25519" ? [] : ["-check"])));
    });

    test(`${type}: a key that OpenSSL made comes out as PKCS#8 as it came in`, async () => {
      const pkcs8 = opensslKey(generate);
      const name = await importPkcs8(type, pkcs8, { exportable: true });
      const back = bytesOf(await exported(name, { format: "pkcs8" }), "material_b64");
      assert.equal(back.toString("hex"), pkcs8.toString("hex"));
    });
  }

  for (const bits of [2048, 3072, 4096]) {
    test(`RSA-OAEP ${bits}: each decrypts what the other encrypted, under its label alone`, async () => {
      const pkcs8 = opensslKey(["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`]);
      const name = await importPkcs8(`rsa-${bits}`, pkcs8, { purpose: "encrypt" });
      const publicKey = ["-pubin", "-inkey", openssl.file(await publicPem(name))];
      const privateKey = ["-keyform", "DER", "-inkey", openssl.file(pkcs8)];
      for (const aad of ["", "a label"]) {
        const label = aad === "" ? [] : ["-pkeyopt", `rsa_oaep_label:${Buffer.from(aad).toString("hex")}`];
        const input = ["-in", openssl.file(message), ...OAEP, ...label];
        const theirs = openssl.run("pkeyutl", "-encrypt", ...publicKey, ...input);
        const ciphertext = Buffer.concat([VERSION, theirs]).toString("base64");
        const opened = await post(`/v1/decrypt/${name}`, { ciphertext, aad });
        assert.deepEqual(bytesOf(opened, "plaintext_b64"), message);
        const refused = await post(`/v1/decrypt/${name}`, { ciphertext, aad: "another" }, 400);
        assert.equal(refused.json["code"], "decryption_failed");

        const ours = await post(`/v1/encrypt/${name}`, { plaintext_b64: message.toString("base64"), aad });
        const sealed = openssl.file(bytesOf(ours, "data_b64"));
        const decrypt = ["pkeyutl", "-decrypt", ...privateKey, "-in", sealed, ...OAEP];
        assert.deepEqual(openssl.run(...decrypt, ...label), message);
        assert.ok(!openssl.agrees(...decrypt, "-pkeyopt", "rsa_oaep_label:00"));
      }
    });
  }

  for (const [bits, hash] of [
    [256, "sha256"],
    [384, "sha384"],
    [512, "sha512"],
  ] as const) {
    test(`HMAC-SHA-${bits}: both make the same code, with an imported key and with an exported one`, async () => {
      const key = randomBytes(bits / 8);
      const imported = await importAs({
        type: `hmac-${bits}`,
        format: "raw",
        material_b64: key.toString("base64"),
      });
      const created = await createExportable(`hmac-${bits}`);
      const out = bytesOf(await exported(created, { format: "raw" }), "material_b64");
      for (const [name, bytes] of [
        [imported, key],
        [created, out],
      ] as const) {
        const mac = ["-mac", "HMAC", "-macopt", `hexkey:${bytes.toString("hex")}`, "-binary"];
        const theirs = openssl.run("dgst", `-${hash}`, ...mac, openssl.file(message));
        const sent = { message_b64: message.toString("base64") };
        assert.deepEqual(bytesOf(await post(`/v1/keys/${name}/mac`, sent), "mac_b64"), theirs);
        const given = { ...sent, mac_b64: theirs.toString("base64") };
        assert.equal((await post(`/v1/keys/${name}/verify-mac`, given)).json["valid"], true);
      }
    });
  }

  test("X25519: both get one secret, from a key of ours and from one of OpenSSL's", async () => {
    const theirs = opensslKey(["-algorithm", "X25519"]);
    const privateKey = openssl.file(theirs);
    const spki = openssl.run("pkey", "-inform", "DER", "-in", privateKey, "-pubout", "-outform", "DER");
    const created = await createExportable("x25519");
    for (const name of [created, await importPkcs8("x25519", theirs)]) {
      const peer = openssl.file(await publicPem(name));
      const derive = ["pkeyutl", "-derive", "-keyform", "DER", "-inkey", privateKey, "-peerkey", peer];
      const sent = { peer_public_key_b64: spki.toString("base64"), kdf: "none" };
      const answer = await post(`/v1/keys/${name}/agree`, sent);
      assert.deepEqual(bytesOf(answer, "shared_secret_b64"), openssl.run(...derive));
    }
    const out = bytesOf(await exported(created, { format: "pkcs8" }), "material_b64");
    const shown = openssl.run("pkey", "-inform", "DER", "-in", openssl.file(out), "-pubout");
    assert.equal(shown.toString(), await publicPem(created));
  });

  describe("wrapped keys", () => {
    const kek = randomBytes(32);
    const secret = randomBytes(32);
    const ecKey = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const rsaKey = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    const importKek = (): Promise<string> =>
      importAs({ type: "aes-256-kwp", format: "raw", material_b64: kek.toString("base64") });
    const importWrapped = (wrapping: string, type: string, format: string, bytes: Buffer): Promise<string> =>
      importAs({
        ...{ type, format, wrapping_key: wrapping, wrapped_material_b64: bytes.toString("base64") },
        exportable: true,
      });
    const comesOut = async (name: string, format: string, bytes: Buffer): Promise<void> => {
      const answer = await exported(name, { format });
      assert.equal(bytesOf(answer, "material_b64").toString("hex"), bytes.toString("hex"));
    };

    test("AES-KWP: a key that OpenSSL wrapped is imported as it was", async () => {
      const wrapping = await importKek();
      const pkcs8 = opensslKey(ecKey);
      await comesOut(await importWrapped(wrapping, "aes-256", "raw", wrapped(kek, secret)), "raw", secret);
      await comesOut(
        await importWrapped(wrapping, "ecdsa-p256", "pkcs8", wrapped(kek, pkcs8)),
        "pkcs8",
        pkcs8,
      );
    });

    test("AES-KWP: OpenSSL unwraps what was exported under a key of ours", async () => {
      const wrapping = await importKek();
      for (const [type, format, bytes] of [
        ["aes-256", "raw", secret],
        ["ecdsa-p256", "pkcs8", opensslKey(ecKey)],
        ["rsa-2048", "pkcs8", opensslKey(rsaKey)],
      ] as const) {
        const material = { type, format, material_b64: bytes.toString("base64"), exportable: true };
        const name = await importAs(material);
        const out = await exported(name, { format, wrapping_key: wrapping });
        const theirs = unwrapped(kek, bytesOf(out, "wrapped_material_b64"));
        assert.equal(theirs.toString("hex"), bytes.toString("hex"));
      }
    });

    for (const bits of [2048, 3072, 4096]) {
      test(`RSA-OAEP ${bits} with AES-KWP: a key that OpenSSL wrapped to ours is imported as it was`, async () => {
        const pkcs8 = opensslKey(["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`]);
        const wrapping = await importPkcs8(`rsa-${bits}`, pkcs8, { purpose: "encrypt" });
        const publicKey = ["-pubin", "-inkey", openssl.file(await publicPem(wrapping))];
        const theirs = openssl.run("pkeyutl", "-encrypt", ...publicKey, "-in", openssl.file(kek), ...OAEP);
        const bytes = Buffer.concat([theirs, wrapped(kek, secret)]);
        await comesOut(await importWrapped(wrapping, "hmac-256", "raw", bytes), "raw", secret);
      });

      test(`RSA-OAEP ${bits} with AES-KWP: OpenSSL unwraps what was exported to its public key`, async () => {
        const pkcs8 = opensslKey(["-algorithm", "RSA", "-pkeyopt", `rsa_keygen_bits:${bits}`]);
        const privateKey = openssl.file(pkcs8);
        const der = ["-pubout", "-outform", "DER"];
        const spki = openssl.run("pkey", "-inform", "DER", "-in", privateKey, ...der);
        const material = { type: "hmac-256", format: "raw", material_b64: secret.toString("base64") };
        const name = await importAs({ ...material, exportable: true });
        const out = await exported(name, { format: "raw", wrapping_public_key_b64: spki.toString("base64") });
        const bytes = bytesOf(out, "wrapped_material_b64");
        const block = openssl.file(bytes.subarray(0, bits / 8));
        const decrypt = ["pkeyutl", "-decrypt", "-keyform", "DER", "-inkey", privateKey, "-in", block];
        const inner = openssl.run(...decrypt, ...OAEP);
        assert.equal(unwrapped(inner, bytes.subarray(bits / 8)).toString("hex"), secret.toString("hex"));
      });
    }
  });
});
