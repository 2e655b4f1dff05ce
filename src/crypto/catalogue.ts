/**
 * The catalogue: one row says everything about one key type. Adding an algorithm is one row here and its pair of
 * functions (`open…` and `import…`) in a file of its family.
 * Invariant: nothing outside this table knows an algorithm by name.
 */
import { openAes256Gcm } from "./aes-gcm.ts";
import type { CipherKey } from "./cipher-key.ts";
import { generateP256, importP256, openP256 } from "./ecdsa.ts";
import { importSymmetric, type ImportedKey, type Material } from "./material.ts";
import { randomSecret } from "./random.ts";
import { generateRsa, importRsa, openRsa } from "./rsa.ts";
import type { SigningKey } from "./signing-key.ts";
import { openXaes256Gcm } from "./xaes-gcm.ts";

interface AlgorithmBase {
  /** Fresh material. */
  generate(): Material | Promise<Material>;
  /** Material from outside; throws `invalid_key_material`. */
  import(imported: ImportedKey): Material;
}

export interface CipherAlgorithm extends AlgorithmBase {
  readonly purpose: "encrypt";
  /** The algorithm's name where its raw key is exported. */
  readonly exportName: string;
  /** How many random nonces one key version may draw; undefined where the nonce space needs no counting. */
  readonly noncesMax: number | undefined;
  open(material: Material): CipherKey;
}

export interface SignatureAlgorithm extends AlgorithmBase {
  readonly purpose: "sign";
  open(material: Material): SigningKey;
}

export type Algorithm = CipherAlgorithm | SignatureAlgorithm;

const SYMMETRIC_KEY_BYTES = 32;
const symmetric = {
  generate: (): Material => ({ form: "raw", bytes: randomSecret(SYMMETRIC_KEY_BYTES) }),
  import: (imported: ImportedKey): Material => importSymmetric(imported, SYMMETRIC_KEY_BYTES),
};

export const catalogue = {
  "aes-256": {
    purpose: "encrypt",
    exportName: "AES-256-GCM",
    noncesMax: 2 ** 32,
    ...symmetric,
    open: (material) => openAes256Gcm(material.bytes),
  },
  "xaes-256": {
    purpose: "encrypt",
    exportName: "XAES-256-GCM",
    noncesMax: undefined,
    ...symmetric,
    open: (material) => openXaes256Gcm(material.bytes),
  },
  "rsa-2048": {
    purpose: "sign",
    generate: () => generateRsa(2048),
    import: (imported) => importRsa(imported, 2048),
    open: openRsa,
  },
  "ecdsa-p256": {
    purpose: "sign",
    generate: generateP256,
    import: importP256,
    open: openP256,
  },
} as const satisfies Record<string, Algorithm>;

export type KeyType = keyof typeof catalogue;

export const keyTypes = Object.keys(catalogue) as [KeyType, ...KeyType[]];

export type KeyPurpose = "encrypt" | "sign" | "mac" | "encapsulate" | "wrap";

export function purposesOf(type: KeyType): readonly [KeyPurpose, ...KeyPurpose[]] {
  return [catalogue[type].purpose];
}

/** The row of a key type. */
export function algorithmOf(type: KeyType, _purpose?: KeyPurpose): Algorithm {
  return catalogue[type];
}
