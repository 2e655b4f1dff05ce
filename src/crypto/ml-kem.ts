/**
 * ML-KEM (FIPS 203), through WebCrypto, which both platforms have. The private key is its seed, d ‖ z (FIPS 203 §7.1).
 * Invariant: a public key has passed the platform's modulus check (FIPS 203 §7.2) when it was imported.
 */
import { Buffer } from "node:buffer";
import { webcrypto } from "node:crypto";
import { secretBytes, wipe } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import type { KemKey } from "./kem-key.ts";
import type { Material } from "./material.ts";
import { runNative } from "./off-loop.ts";
import { seedKeys, type SeedKeys } from "./seed-key.ts";

const { subtle } = webcrypto;
const arc = "60864801650304";

export type MlKemName = "ML-KEM-768" | "ML-KEM-1024";

interface MlKem {
  readonly keys: SeedKeys;
  readonly ciphertextBytes: number;
}

export const mlKems: Readonly<Record<MlKemName, MlKem>> = {
  "ML-KEM-768": { keys: mlKem("ML-KEM-768", `${arc}0402`, 1184), ciphertextBytes: 1088 },
  "ML-KEM-1024": { keys: mlKem("ML-KEM-1024", `${arc}0403`, 1568), ciphertextBytes: 1568 },
};

/** Opens stored material for use. */
export function openMlKem(material: Material, name: MlKemName): KemKey {
  const { keys, ciphertextBytes } = mlKems[name];
  const { pair, publicPart } = keys.open(material);
  const forEncapsulation = openedOnce(() =>
    subtle.importKey("spki", new Uint8Array(publicPart.publicKeyDer()), name, false, ["encapsulateBits"]),
  );
  const forDecapsulation = openedOnce(() => importPrivate(material, name));
  return {
    canDecapsulate: pair.privateKey !== undefined,
    ciphertextBytes,
    async encapsulate() {
      const { sharedKey, ciphertext } = await runNative(async () =>
        subtle.encapsulateBits(name, await forEncapsulation()),
      );
      return {
        sharedSecret: secretBytes(Buffer.from(sharedKey)),
        ciphertext: Buffer.from(ciphertext),
      };
    },
    async decapsulate(ciphertext) {
      if (pair.privateKey === undefined) throw new KeysteadError("key_public_only");
      if (ciphertext.length !== ciphertextBytes) return undefined;
      const sharedKey = await runNative(async () =>
        subtle.decapsulateBits(name, await forDecapsulation(), Buffer.from(ciphertext)),
      );
      return secretBytes(Buffer.from(sharedKey));
    },
    ...publicPart,
  };
}

/** A key that is opened when it is first needed; an attempt that failed is not remembered. */
function openedOnce(open: () => Promise<webcrypto.CryptoKey>): () => Promise<webcrypto.CryptoKey> {
  let opening: Promise<webcrypto.CryptoKey> | undefined;
  return () =>
    (opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    }));
}

async function importPrivate(material: Material, name: MlKemName): Promise<webcrypto.CryptoKey> {
  const copy = new Uint8Array(material.bytes);
  try {
    return await subtle.importKey("pkcs8", copy, name, false, ["decapsulateBits"]);
  } finally {
    wipe(copy);
  }
}

function mlKem(alg: MlKemName, oid: string, publicBytes: number): SeedKeys {
  return seedKeys({ oid, seedBytes: 64, publicBytes, jwk: { kty: "AKP", alg } });
}
