/**
 * The catalogue: one row says everything about one key type and purpose. Adding an algorithm is one row here and its
 * functions in a file of its family.
 * Invariant: nothing outside this folder knows an algorithm by name. A key has one purpose for life.
 */
import { KeysteadError } from "../errors.ts";
import { openAesGcm } from "./aes-gcm.ts";
import type { AgreementKey } from "./agreement-key.ts";
import { exportAsymmetric } from "./asymmetric-key.ts";
import { blsGroups, exportBls, generateBls, importBls, openBls, type BlsGroup } from "./bls12-381.ts";
import { cbcHmacKeyBytes, openCbcHmac, type CbcHmacName } from "./cbc-hmac.ts";
import { openChaCha20Poly1305, openXChaCha20Poly1305 } from "./chacha.ts";
import type { CipherKey } from "./cipher-key.ts";
import {
  ecdsaCurves,
  ecdsaEncodings,
  generateEcdsa,
  importEcdsa,
  openEcdsa,
  type CurveName,
} from "./ecdsa.ts";
import { ed25519Keys, openEd25519 } from "./ed25519.ts";
import { HMAC_KEY_BYTES_MAX, hmacHashes, openHmac, type HmacHash } from "./hmac.ts";
import type { KemKey } from "./kem-key.ts";
import { openAesKw, openAesKwp } from "./key-wrap.ts";
import type { MacKey } from "./mac-key.ts";
import type { ExportedMaterial, ImportedKey, KeyFormat, Material } from "./material.ts";
import { mlDsaKeys, openMlDsa } from "./ml-dsa.ts";
import { mlKems, openMlKem, type MlKemName } from "./ml-kem.ts";
import type { PublicCipherKey } from "./public-cipher-key.ts";
import { openRsaOaep } from "./rsa-oaep.ts";
import { openRsaSigning, RSA_DIGEST_BYTES, rsaSchemes } from "./rsa-signature.ts";
import { generateRsa, importRsa, type RsaBits } from "./rsa.ts";
import { exportSecp256k1, importSecp256k1 } from "./secp256k1-encoding.ts";
import { generateSecp256k1, openSecp256k1, SECP256K1_DIGEST_BYTES } from "./secp256k1.ts";
import type { ShownKey } from "./shown-key.ts";
import type { SignatureEncoding, SignatureScheme, SigningKey } from "./signing-key.ts";
import { symmetricKind } from "./symmetric-key.ts";
import type { WrappingKey } from "./wrapping-key.ts";
import { openX25519, x25519Keys } from "./x25519.ts";
import { openXaes256Gcm } from "./xaes-gcm.ts";

/** What keys are made for. Of a key to `show` the public part is shown, and nothing is made with it. */
export const keyPurposes = ["encrypt", "sign", "mac", "encapsulate", "agree", "wrap", "show"] as const;
export type KeyPurpose = (typeof keyPurposes)[number];

interface AlgorithmBase {
  readonly purpose: KeyPurpose;
  /** The algorithm's name beside an exported key. */
  readonly exportName: string;
  /** The formats that hold a whole key, private part and all. The public part of an asymmetric one is had as `spki` too. */
  readonly exportFormats: readonly KeyFormat[];
  /** Fresh material. */
  generate(): Material | Promise<Material>;
  /** Material from outside; throws `invalid_key_material`. */
  import(imported: ImportedKey): Material | Promise<Material>;
  /**
   * The key in a format: `jwk` gives whatever part is there, `spki` the public part. Throws `invalid_body` for a format
   * that the type has not, `key_public_only` where the format wants a private part.
   */
  exportKey(material: Material, format: KeyFormat): ExportedMaterial;
}

/** Authenticated ciphers. */
export interface CipherAlgorithm extends AlgorithmBase {
  readonly family: "cipher";
  readonly purpose: "encrypt";
  /** How many random nonces one key version may draw; undefined where the nonce space needs no counting. */
  readonly noncesMax: number | undefined;
  open(material: Material): CipherKey;
}

/** Encryption to a public key. */
export interface PublicCipherAlgorithm extends AlgorithmBase {
  readonly family: "public-cipher";
  readonly purpose: "encrypt";
  open(material: Material): PublicCipherKey;
}

export interface SignatureAlgorithm extends AlgorithmBase {
  readonly family: "signature";
  readonly purpose: "sign";
  /** Length of the digests that it signs; undefined where it signs messages only. */
  readonly digestBytes: number | undefined;
  /** The first is the default; none where there is no choice. */
  readonly schemes: readonly SignatureScheme[];
  /** The first is the default; none where there is no choice. */
  readonly encodings: readonly SignatureEncoding[];
  open(material: Material): SigningKey;
}

export interface MacAlgorithm extends AlgorithmBase {
  readonly family: "mac";
  readonly purpose: "mac";
  open(material: Material): MacKey;
}

export interface KemAlgorithm extends AlgorithmBase {
  readonly family: "kem";
  readonly purpose: "encapsulate";
  open(material: Material): KemKey;
}

/** Two keys make one shared secret. */
export interface AgreementAlgorithm extends AlgorithmBase {
  readonly family: "agreement";
  readonly purpose: "agree";
  open(material: Material): AgreementKey;
}

/** Keys that are made, kept and shown, for others to use. */
export interface ShownAlgorithm extends AlgorithmBase {
  readonly family: "shown";
  readonly purpose: "show";
  open(material: Material): ShownKey;
}

/** Key-encryption keys. */
export interface WrapAlgorithm extends AlgorithmBase {
  readonly family: "wrap";
  readonly purpose: "wrap";
  open(material: Material): WrappingKey;
}

export type Algorithm =
  | CipherAlgorithm
  | PublicCipherAlgorithm
  | SignatureAlgorithm
  | MacAlgorithm
  | KemAlgorithm
  | AgreementAlgorithm
  | WrapAlgorithm
  | ShownAlgorithm;

/** One row a purpose; the first is the default. */
type Rows = readonly [Algorithm, ...Algorithm[]];

const NONCES_MAX = 2 ** 32;

const catalogue = {
  "aes-256": [cipher("AES-256-GCM", 32, NONCES_MAX, openAesGcm, "A256GCM")],
  "xaes-256": [cipher("XAES-256-GCM", 32, undefined, openXaes256Gcm)],
  "aes-128-gcm": [cipher("AES-128-GCM", 16, NONCES_MAX, openAesGcm, "A128GCM")],
  "aes-128-cbc-hmac-sha-256": cbcHmac("AES-128-CBC-HMAC-SHA-256", "A128CBC-HS256"),
  "aes-256-cbc-hmac-sha-512": cbcHmac("AES-256-CBC-HMAC-SHA-512", "A256CBC-HS512"),
  "chacha20-poly1305": [cipher("ChaCha20-Poly1305", 32, NONCES_MAX, openChaCha20Poly1305)],
  "xchacha20-poly1305": [cipher("XChaCha20-Poly1305", 32, undefined, openXChaCha20Poly1305)],
  "rsa-2048": rsa(2048),
  "rsa-3072": rsa(3072),
  "rsa-4096": rsa(4096),
  "ecdsa-p256": ecdsa("P-256"),
  "ecdsa-p384": ecdsa("P-384"),
  "ecdsa-p521": ecdsa("P-521"),
  secp256k1: [
    signature("ECDSA-SECP256K1", {
      digestBytes: SECP256K1_DIGEST_BYTES,
      encodings: ecdsaEncodings,
      exportFormats: ["pkcs8", "jwk"],
      generate: generateSecp256k1,
      import: importSecp256k1,
      exportKey: exportSecp256k1,
      open: openSecp256k1,
    }),
  ],
  ed25519: [signature("Ed25519", { ...ed25519Keys, open: openEd25519 })],
  "hmac-256": hmac("HMAC-SHA-256", "sha256"),
  "hmac-384": hmac("HMAC-SHA-384", "sha384"),
  "hmac-512": hmac("HMAC-SHA-512", "sha512"),
  "ml-dsa-44": mlDsa("ML-DSA-44"),
  "ml-dsa-65": mlDsa("ML-DSA-65"),
  "ml-dsa-87": mlDsa("ML-DSA-87"),
  "ml-kem-768": mlKem("ML-KEM-768"),
  "ml-kem-1024": mlKem("ML-KEM-1024"),
  x25519: [{ family: "agreement", purpose: "agree", exportName: "X25519", ...x25519Keys, open: openX25519 }],
  "aes-128-kw": wrapping("AES-128-KW", 16, openAesKw, "A128KW"),
  "aes-256-kw": wrapping("AES-256-KW", 32, openAesKw, "A256KW"),
  "aes-128-kwp": wrapping("AES-128-KWP", 16, openAesKwp),
  "aes-256-kwp": wrapping("AES-256-KWP", 32, openAesKwp),
  "bls12-381-g1": bls("G1"),
  "bls12-381-g2": bls("G2"),
  "bls12-381-g1g2": bls("G1G2"),
} as const satisfies Record<string, Rows>;

export type KeyType = keyof typeof catalogue;

export const keyTypes = Object.keys(catalogue) as [KeyType, ...KeyType[]];

/** The row of a key type, for its default purpose where none is given. Throws `invalid_body` for one that it has not. */
export function algorithmOf(type: KeyType, purpose?: KeyPurpose): Algorithm {
  const rows: Rows = catalogue[type];
  const [first] = rows;
  if (purpose === undefined || purpose === first.purpose) return first;
  const row = rows.find((candidate) => candidate.purpose === purpose);
  if (row === undefined) {
    throw new KeysteadError("invalid_body", {
      field: "purpose",
      detail: "keys of this type have no such purpose",
    });
  }
  return row;
}

/** The purposes that a key of this type may have; the first is the default. */
export function purposesOf(type: KeyType): readonly [KeyPurpose, ...KeyPurpose[]] {
  const [first, ...others]: Rows = catalogue[type];
  return [first.purpose, ...others.map(({ purpose }) => purpose)];
}

function cipher(
  exportName: string,
  keyBytes: number,
  noncesMax: number | undefined,
  open: (key: Buffer) => CipherKey,
  alg?: string,
): CipherAlgorithm {
  return {
    family: "cipher",
    purpose: "encrypt",
    exportName,
    noncesMax,
    ...symmetricKind(keyBytes, keyBytes, alg),
    open: ({ bytes }) => open(bytes),
  };
}

function cbcHmac(exportName: string, alg: CbcHmacName): readonly [CipherAlgorithm] {
  return [cipher(exportName, cbcHmacKeyBytes(alg), undefined, (key) => openCbcHmac(key, alg), alg)];
}

function wrapping(
  exportName: string,
  keyBytes: number,
  open: (material: Material) => WrappingKey,
  alg?: string,
): readonly [WrapAlgorithm] {
  return [{ family: "wrap", purpose: "wrap", exportName, ...symmetricKind(keyBytes, keyBytes, alg), open }];
}

function bls(group: BlsGroup): readonly [ShownAlgorithm] {
  return [
    {
      family: "shown",
      purpose: "show",
      exportName: blsGroups[group].crv,
      exportFormats: ["raw", "jwk"],
      generate: () => generateBls(group),
      import: (imported) => importBls(imported, group),
      exportKey: (material, format) => exportBls(material, format, group),
      open: (material) => openBls(material, group),
    },
  ];
}

function rsa(bits: RsaBits): readonly [SignatureAlgorithm, PublicCipherAlgorithm] {
  const keys = {
    exportName: `RSA-${bits}`,
    exportFormats: ["pkcs8", "jwk"],
    generate: () => generateRsa(bits),
    import: (imported: ImportedKey) => importRsa(imported, bits),
    exportKey: exportAsymmetric,
  } as const;
  return [
    signature(keys.exportName, {
      ...keys,
      digestBytes: RSA_DIGEST_BYTES,
      schemes: rsaSchemes,
      open: openRsaSigning,
    }),
    { family: "public-cipher", purpose: "encrypt", ...keys, open: openRsaOaep },
  ];
}

function ecdsa(curve: CurveName): readonly [SignatureAlgorithm] {
  return [
    signature(`ECDSA-${curve.replace("-", "")}`, {
      digestBytes: ecdsaCurves[curve].digestBytes,
      encodings: ecdsaEncodings,
      exportFormats: ["pkcs8", "jwk"],
      generate: () => generateEcdsa(curve),
      import: (imported) => importEcdsa(imported, curve),
      exportKey: exportAsymmetric,
      open: (material) => openEcdsa(material, curve),
    }),
  ];
}

function mlDsa(name: keyof typeof mlDsaKeys): readonly [SignatureAlgorithm] {
  const keys = mlDsaKeys[name];
  return [signature(name, { ...keys, open: (material) => openMlDsa(material, keys) })];
}

function signature(
  exportName: string,
  row: Omit<
    SignatureAlgorithm,
    "family" | "purpose" | "exportName" | "digestBytes" | "schemes" | "encodings"
  > &
    Partial<Pick<SignatureAlgorithm, "digestBytes" | "schemes" | "encodings">>,
): SignatureAlgorithm {
  const { digestBytes, schemes = [], encodings = [] } = row;
  return { ...row, family: "signature", purpose: "sign", exportName, digestBytes, schemes, encodings };
}

function hmac(exportName: string, hash: HmacHash): readonly [MacAlgorithm] {
  const { macBytes, alg } = hmacHashes[hash];
  return [
    {
      family: "mac",
      purpose: "mac",
      exportName,
      ...symmetricKind(macBytes, HMAC_KEY_BYTES_MAX, alg),
      open: (material) => openHmac(material, hash),
    },
  ];
}

function mlKem(name: MlKemName): readonly [KemAlgorithm] {
  return [
    {
      family: "kem",
      purpose: "encapsulate",
      exportName: name,
      ...mlKems[name].keys,
      open: (material) => openMlKem(material, name),
    },
  ];
}
