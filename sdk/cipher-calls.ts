/** Encryption of single values, and data keys: a part of `client.key`. */
import { KeyCalls, type VersionOptions } from "./key-calls.ts";
import { pathSegment, type CallOptions } from "./transport.ts";
import { base64Of, bytesField, fromBase64 } from "./wire-bytes.ts";
import type { Ciphered, DataKey, DataKeyLength, Decrypted, Encrypted } from "./wire.ts";

export interface ContextOptions extends CallOptions {
  /** Additional authenticated data: decryption takes the same. */
  readonly aad?: string | Uint8Array | undefined;
}

export interface EncryptOptions extends ContextOptions, VersionOptions {}

/** Where a ciphertext goes to. */
export interface ReencryptTarget {
  /** The same key unless set. */
  readonly toKey?: string | undefined;
  /** The target's latest version unless set. */
  readonly toVersion?: number | undefined;
}

export interface ReencryptOptions extends ContextOptions, ReencryptTarget {
  /** The additional data from now on; unchanged unless set. */
  readonly toAad?: string | Uint8Array | undefined;
}

export interface DataKeyOptions extends ContextOptions {
  /** 32 unless set. */
  readonly bytes?: DataKeyLength | undefined;
}

export class CipherCalls extends KeyCalls {
  /** Encrypts under the key's latest version, or the one that is asked for. */
  encrypt(
    name: string,
    plaintext: string | Uint8Array,
    { aad, version, ...call }: EncryptOptions = {},
  ): Promise<Encrypted> {
    const body = { ...bytesField("plaintext", plaintext), ...bytesField("aad", aad), version };
    return this.transport.send(
      { method: "POST", path: `/v1/encrypt/${pathSegment(name)}`, body, repeatable: true },
      call,
    );
  }

  /**
   * Decrypts what any version of the key encrypted with the same additional data. Throws `decryption_failed`.
   * @param ciphertext base64, as `encrypt` gave it, or its bytes
   */
  async decrypt(
    name: string,
    ciphertext: string | Uint8Array,
    { aad, ...call }: ContextOptions = {},
  ): Promise<Decrypted> {
    const body = { ciphertext: base64Of(ciphertext), ...bytesField("aad", aad) };
    const answer = await this.transport.send<{ plaintext_b64: string; version: number }>(
      { method: "POST", path: `/v1/decrypt/${pathSegment(name)}`, body, repeatable: true },
      call,
    );
    return { plaintext: fromBase64(answer.plaintext_b64), version: answer.version };
  }

  /** Encrypts anew, under another version, key or additional data, without the plaintext leaving the service. */
  reencrypt(
    name: string,
    ciphertext: string | Uint8Array,
    { aad, toKey, toVersion, toAad, ...call }: ReencryptOptions = {},
  ): Promise<Ciphered> {
    const body = {
      ciphertext: base64Of(ciphertext),
      ...bytesField("aad", aad),
      to_key: toKey,
      to_version: toVersion,
      ...bytesField("to_aad", toAad),
    };
    return this.use(name, "reencrypt", body, call);
  }

  /**
   * Makes a data key: the key itself to encrypt with, and its ciphertext to keep. `decrypt` gives the key back.
   * `generateWrappedDataKey` is the same without the key itself.
   */
  async generateDataKey(name: string, { bytes, aad, ...call }: DataKeyOptions = {}): Promise<DataKey> {
    const body = { bytes, ...bytesField("aad", aad) };
    const { plaintext_b64, ...answer } = await this.use<Ciphered & { plaintext_b64: string }>(
      name,
      "data-key",
      body,
      call,
    );
    return { ...answer, plaintext: fromBase64(plaintext_b64) };
  }

  /** Makes a data key for others to use: only its ciphertext is given. */
  generateWrappedDataKey(name: string, { bytes, aad, ...call }: DataKeyOptions = {}): Promise<Ciphered> {
    const body = { bytes, plaintext: false, ...bytesField("aad", aad) };
    return this.use(name, "data-key", body, call);
  }
}
