/**
 * Encrypting and decrypting for APIs whose wire keeps nonce and tag apart from the ciphertext, and names the version beside
 * it. The same operations as key.encrypt and key.decrypt: the same scopes, audit entries and metrics.
 * Invariant: the parts joined (version 4 bytes ‖ nonce ‖ data ‖ tag) are the native ciphertext; a key that such an API does
 * not know, or that is to be deleted, looks to it like one that does not exist.
 */
import { Buffer } from "node:buffer";
import { KeysteadError } from "../errors.ts";
import { decryptUnversioned, encrypt, VERSION_BYTES, type Decrypted } from "../keyring/cipher-use.ts";
import { keyAlgorithm, latestVersion, type Key } from "../keyring/key.ts";
import { findKey, keyResource, type Named } from "./key-resource.ts";
import type { ProjectContext, ProjectOperation } from "./operation.ts";

type KeyType = Key["type"];
const TAG_BYTES = 16;

interface DetachedInput extends Named {
  /** The types that the API knows. */
  readonly types: readonly KeyType[];
  /** The type that the caller takes the key for, where it said so. */
  readonly expectedType: KeyType | undefined;
  readonly aad: Uint8Array | undefined;
  /** Only a symmetric key will do: what is encrypted is key material. */
  readonly wraps: boolean;
}

export interface EncryptDetachedInput extends DetachedInput {
  readonly plaintext: Uint8Array;
}

export interface DecryptDetachedInput extends DetachedInput {
  readonly data: Uint8Array;
  /** Undefined where the algorithm has none. */
  readonly nonce: Uint8Array | undefined;
  readonly tag: Uint8Array | undefined;
  /** Undefined tries the newest versions. */
  readonly version: number | undefined;
}

export interface EncryptedDetached {
  readonly keyId: string;
  readonly type: KeyType;
  readonly version: number;
  /** Empty where the algorithm has none. */
  readonly nonce: Buffer;
  readonly data: Buffer;
  readonly tag: Buffer;
}

export const keyEncryptDetached: ProjectOperation<EncryptDetachedInput, EncryptedDetached> = {
  id: "key.encrypt",
  scope: "kms:encrypt",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await findKnown(context, input);
    const { plaintext, aad } = input;
    const { version, nonceBytes, ciphertext } = await encrypt(context.services.keyring, key, {
      plaintext,
      aad,
    });
    context.version = version;
    const tagBytes = isCipher(key) ? TAG_BYTES : 0;
    const dataStart = VERSION_BYTES + nonceBytes;
    const tagStart = ciphertext.length - tagBytes;
    return {
      keyId: key.id,
      type: key.type,
      version,
      nonce: ciphertext.subarray(VERSION_BYTES, dataStart),
      data: ciphertext.subarray(dataStart, tagStart),
      tag: ciphertext.subarray(tagStart),
    };
  },
};

export const keyDecryptDetached: ProjectOperation<DecryptDetachedInput, Decrypted> = {
  id: "key.decrypt",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await findKnown(context, input);
    const { data, nonce, tag, aad, version } = input;
    let ciphertext = data;
    if (isCipher(key)) {
      if (nonce === undefined) throw missing("nonce");
      if (tag === undefined) throw missing("tag");
      // Where the parts are divided is the caller's word: parts of other lengths would move a border.
      if (tag.length !== TAG_BYTES || nonce.length !== (await nonceBytesOf(context, key)))
        throw new KeysteadError("decryption_failed");
      ciphertext = Buffer.concat([nonce, data, tag]);
    } else if ((nonce ?? tag) !== undefined) {
      throw new KeysteadError("decryption_failed");
    }
    const result = await decryptUnversioned(context.services.keyring, key, { ciphertext, aad }, version);
    context.version = result.version;
    return result;
  },
};

/** Throws `key_not_found` for what the API cannot see, `key_usage` for what cannot wrap, `invalid_body` for another type. */
async function findKnown(context: ProjectContext, input: DetachedInput): Promise<Key> {
  const key = await findKey(context, input);
  const isGone = key.state === "pending_deletion" || key.state === "destroyed";
  if (isGone || key.purpose !== "encrypt" || !input.types.includes(key.type))
    throw new KeysteadError("key_not_found");
  if (input.wraps && !isCipher(key)) throw new KeysteadError("key_usage");
  if (input.expectedType !== undefined && input.expectedType !== key.type)
    throw new KeysteadError("invalid_body", { field: "alg", detail: "alg is not the key's algorithm" });
  return key;
}

async function nonceBytesOf({ services }: ProjectContext, key: Key): Promise<number | undefined> {
  const opened = await services.keyring.version(key, latestVersion(key));
  return opened?.family === "cipher" ? opened.key.nonceBytes : undefined;
}

function isCipher(key: Key): boolean {
  return keyAlgorithm(key).family === "cipher";
}

function missing(field: "nonce" | "tag"): KeysteadError {
  return new KeysteadError("invalid_body", { field, detail: `${field} is needed` });
}
