/** The operations that encrypt and decrypt: values, and data keys for whoever encrypts by itself. */
import type { Buffer } from "node:buffer";
import { wipe } from "../bytes.ts";
import { randomSecret } from "../crypto/random.ts";
import {
  decrypt,
  encrypt,
  type Ciphertext,
  type Decrypted,
  type Encrypted,
  type Plaintext,
} from "../keyring/cipher-use.ts";
import type { Key } from "../keyring/key.ts";
import { findKey, findOtherKey, keyResource, noteVersion, withKey, type Named } from "./key-resource.ts";
import type { ProjectOperation } from "./operation.ts";

export interface EncryptInput extends Named, Plaintext {
  /** Undefined takes the latest. */
  readonly version: number | undefined;
}

export interface DecryptInput extends Named, Ciphertext {}

export interface ReencryptTarget {
  /** The key to encrypt under; undefined: the same. */
  readonly key: string | undefined;
  readonly version: number | undefined;
  /** The context from now on. */
  readonly aad: Uint8Array | undefined;
}

export interface ReencryptInput extends Named, Ciphertext {
  readonly to: ReencryptTarget;
}

export interface DataKeyInput extends Named {
  readonly bytes: 16 | 32 | 64;
  readonly aad: Uint8Array | undefined;
  /** False gives the wrapped form only. */
  readonly withPlaintext: boolean;
}

export interface DataKey extends Encrypted {
  /** The data key itself, where it was asked for. */
  readonly plaintext: Buffer | undefined;
}

export const keyEncrypt: ProjectOperation<EncryptInput, Encrypted> = {
  id: "key.encrypt",
  scope: "kms:encrypt",
  inProject: true,
  resource: keyResource,
  run(context, input) {
    const use = (key: Key): Encrypted | Promise<Encrypted> =>
      encrypt(context.services.keyring, key, input, input.version);
    return noteVersion(context, withKey(context, input, use));
  },
};

export const keyDecrypt: ProjectOperation<DecryptInput, Decrypted> = {
  id: "key.decrypt",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  run(context, input) {
    const use = (key: Key): Decrypted | Promise<Decrypted> => decrypt(context.services.keyring, key, input);
    return noteVersion(context, withKey(context, input, use));
  },
};

export const keyReencrypt: ProjectOperation<ReencryptInput, Encrypted> = {
  id: "key.reencrypt",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const from = await findKey(context, input);
    const to = await findOtherKey(context, input.to.key ?? from.name, "kms:encrypt");
    if (to !== from) context.details = { to: to.name };
    const result = await reencrypt(context.services.keyring, from, to, input, input.to);
    context.version = result.version;
    return result;
  },
};

/** From one key or version to another, without the plaintext leaving. */
export async function reencrypt(
  keyring: Parameters<typeof encrypt>[0],
  from: Key,
  to: Key,
  input: Ciphertext,
  target: Pick<ReencryptTarget, "aad" | "version">,
): Promise<Encrypted> {
  const { plaintext } = await decrypt(keyring, from, input);
  try {
    return await encrypt(keyring, to, { plaintext, aad: target.aad }, target.version);
  } finally {
    wipe(plaintext);
  }
}

export const keyGenerateDataKey: ProjectOperation<DataKeyInput, DataKey> = {
  id: "key.generate_data_key",
  scope: "kms:generate_data_key",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await findKey(context, input);
    const plaintext = randomSecret(input.bytes);
    const wrapped = await encrypt(context.services.keyring, key, { plaintext, aad: input.aad });
    context.version = wrapped.version;
    if (input.withPlaintext) return { ...wrapped, plaintext };
    wipe(plaintext);
    return { ...wrapped, plaintext: undefined };
  },
};
