/**
 * Run by the test of portability on the runtime that the test itself does not run on: opens each stored material that
 * it reads, and uses it. Reads JSON from stdin, writes JSON to stdout.
 */
import { text } from "node:stream/consumers";
import type { AgreementKey } from "../../src/crypto/agreement-key.ts";
import { algorithmOf, type Algorithm, type KeyPurpose, type KeyType } from "../../src/crypto/catalogue.ts";
import { decodeMaterial, encodeMaterial, type Jwk, type Material } from "../../src/crypto/material.ts";

export interface Portable {
  readonly type: KeyType;
  readonly purpose: KeyPurpose;
  /** The stored form, hexadecimal. */
  readonly stored: string;
  /** What `useMaterial` made of it, hexadecimal. */
  readonly made: string;
}

export const portableMessage = Buffer.from("on both runtimes");

/** What a material makes that only the same key can check: a ciphertext, a signature, a code, an encapsulation. */
export async function useMaterial(type: KeyType, purpose: KeyPurpose, stored: Buffer): Promise<Buffer> {
  const algorithm = algorithmOf(type, purpose);
  const material = decodeMaterial(stored);
  switch (algorithm.family) {
    case "cipher":
      return algorithm.open(material).encrypt(portableMessage, undefined, 0);
    case "public-cipher":
      return algorithm.open(material).encrypt(portableMessage);
    case "signature":
      return Buffer.from(await algorithm.open(material).sign({ message: portableMessage }));
    case "mac":
      return algorithm.open(material).mac(portableMessage);
    case "wrap":
      return algorithm.open(material).wrap(portableMessage);
    case "kem": {
      const { ciphertext, sharedSecret } = await algorithm.open(material).encapsulate();
      return Buffer.concat([sharedSecret, ciphertext]);
    }
    case "agreement":
      return agreed(algorithm.open(material));
    case "shown":
      return Buffer.from(JSON.stringify(algorithm.open(material).publicKeyJwk()));
  }
}

/** Whether `made` was made with the same key. */
export async function checkMade({ type, purpose, stored, made }: Portable): Promise<boolean> {
  const algorithm = algorithmOf(type, purpose);
  const material = decodeMaterial(Buffer.from(stored, "hex"));
  const bytes = Buffer.from(made, "hex");
  const isMessage = (opened: Uint8Array | undefined): boolean =>
    opened !== undefined && portableMessage.equals(opened);
  switch (algorithm.family) {
    case "cipher":
      return isMessage(algorithm.open(material).decrypt(bytes, undefined));
    case "public-cipher":
      return isMessage(await algorithm.open(material).decrypt(bytes));
    case "signature":
      return algorithm.open(material).verify({ message: portableMessage }, bytes);
    case "mac":
      return algorithm.open(material).verify(portableMessage, bytes);
    case "wrap":
      return isMessage(algorithm.open(material).unwrap(bytes));
    case "kem": {
      const secret = await algorithm.open(material).decapsulate(bytes.subarray(32));
      return secret !== undefined && secret.equals(bytes.subarray(0, 32));
    }
    case "agreement":
      return agreed(algorithm.open(material)).equals(bytes);
    case "shown": {
      const jwk = algorithm.open(material).publicKeyJwk();
      const { d: scalar } = wholeJwk(algorithm, material);
      // Computed anew here, and found to be the stored one.
      const imported = await algorithm.import({ format: "jwk", jwk: { ...jwk, d: scalar } });
      return imported.bytes.equals(material.bytes) && JSON.stringify(jwk) === bytes.toString();
    }
  }
}

/** What the key has in common with the public key of Bob in RFC 7748 §6.1. */
function agreed(key: AgreementKey): Buffer {
  const peer = Buffer.from("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", "hex");
  return key.agree(peer) ?? Buffer.alloc(0);
}

function wholeJwk(algorithm: Algorithm, material: Material): Jwk {
  const exported = algorithm.exportKey(material, "jwk");
  return exported.format === "jwk" ? exported.jwk : {};
}

/** Fresh material of a type, used once. */
export async function makePortable(type: KeyType, purpose: KeyPurpose): Promise<Portable> {
  const stored = encodeMaterial(await algorithmOf(type, purpose).generate());
  const made = await useMaterial(type, purpose, stored);
  return { type, purpose, stored: stored.toString("hex"), made: made.toString("hex") };
}

if (process.argv[2] === "answer") {
  const given = JSON.parse(await text(process.stdin)) as Portable[];
  const checked: { type: KeyType; good: boolean; back: Portable }[] = [];
  for (const portable of given) {
    const { type, purpose } = portable;
    checked.push({ type, good: await checkMade(portable), back: await makePortable(type, purpose) });
  }
  process.stdout.write(JSON.stringify(checked));
}
