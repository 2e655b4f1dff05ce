/**
 * A provider whose keys never leave it: each lies in a file of its own, sealed with AES-256-GCM under a key that the service
 * does not have. What the service keeps of a key is the file's name.
 * A file: nonce (12) ‖ tag (16) ‖ ciphertext of (form: 1 byte, 1 raw, 2 PKCS#8 ‖ the key); its name is authenticated too.
 */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";
import { open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const forms = ["raw", "pkcs8"];

export default async function sealedFiles({ software, KeysteadError }) {
  const folder = process.env.SEALED_FILES_FOLDER;
  if (folder === undefined) throw new Error("SEALED_FILES_FOLDER is missing: the folder of the keys");
  const sealingKey = await readFile(join(folder, "sealing.key"));
  if (sealingKey.length !== 32) throw new Error("sealing.key is 32 bytes");

  /** Keeps a key, and gives what it is known by from now on. */
  async function keep({ form, bytes }) {
    // A public part is no secret, and needs no keeping.
    if (form === "spki") return { form, bytes };
    const name = randomUUID();
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", sealingKey, nonce, { authTagLength: 16 });
    cipher.setAAD(Buffer.from(name));
    const plain = Buffer.concat([Buffer.of(1 + forms.indexOf(form)), bytes]);
    const ciphertext = Buffer.concat([cipher.update(plain), cipher.final()]);
    plain.fill(0);
    const sealed = Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]);
    await writeFile(join(folder, name), sealed, { flag: "wx", mode: 0o600, flush: true });
    // The service acknowledges the key next: its file's name has to be on the disk as well.
    const directory = await open(folder);
    await directory.sync();
    await directory.close();
    return { form: "handle", bytes: Buffer.from(name) };
  }

  /** The way back. */
  async function fetch({ form, bytes }) {
    if (form === "spki") return { form, bytes };
    const name = nameOf(bytes);
    const sealed = await readFile(join(folder, name));
    const decipher = createDecipheriv("aes-256-gcm", sealingKey, sealed.subarray(0, 12), {
      authTagLength: 16,
    });
    decipher.setAAD(Buffer.from(name));
    decipher.setAuthTag(sealed.subarray(12, 28));
    const plain = Buffer.concat([decipher.update(sealed.subarray(28)), decipher.final()]);
    return { form: forms[plain[0] - 1], bytes: plain.subarray(1) };
  }

  return {
    name: "sealed-files",
    capabilities: [
      { type: "aes-256", purpose: "encrypt", imports: true },
      { type: "rsa-2048", purpose: "encrypt", imports: false },
      { type: "ed25519", purpose: "sign", imports: true },
      { type: "hmac-256", purpose: "mac", imports: true },
      { type: "x25519", purpose: "agree", imports: false },
    ],
    generate: async (kind) => keep(await software.generate(kind)),
    import: async (kind, imported) => keep(await software.import(kind, imported)),
    async open(kind, material) {
      const { family, key } = await software.open(kind, await fetch(material));
      return { family, key: withPromises(key) };
    },
    async destroy(kind, { form, bytes }) {
      if (form === "handle") await rm(join(folder, nameOf(bytes)), { force: true });
    },
  };

  function nameOf(bytes) {
    const name = Buffer.from(bytes).toString();
    if (/^[0-9a-f-]{36}$/.test(name)) return name;
    throw new KeysteadError("invalid_key_material", { detail: "this is no handle of this provider" });
  }
}

/** A device answers later: here so does everything but the public part. */
function withPromises(key) {
  return Object.fromEntries(
    Object.entries(key).map(([name, value]) => [
      name,
      typeof value !== "function" || name.startsWith("public") ? value : async (...args) => value(...args),
    ]),
  );
}
