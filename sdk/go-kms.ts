/**
 * A client of Go KMS's API: data encryption keys by reference, and encryption with them in this process.
 *
 *     const kms = new GoKmsClient({ url: "https://keys.example.net", user: "billing", pass });
 *     const sealed = await kms.encrypt("orders", "4111 1111");
 *     const opened = await kms.decrypt("orders", sealed);
 *
 * Settings that are not given come from KMS_BASE_URL, KMS_USER and KMS_PASS.
 * A message: format (1 byte, 1) ‖ the key's version (4 bytes, big-endian) ‖ salt (32 bytes) ‖ nonce (12 bytes) ‖
 * ciphertext ‖ tag (16 bytes). It is AES-256-GCM under a key of its own, HKDF-SHA-256 of the DEK with the salt and the
 * text `keystead/go-kms/message/v1`; additional data is the first five bytes and then the caller's.
 * Invariant: the token goes to the configured server only, and neither it nor the password is in any error. A DEK is held
 * until its `expiresAt` and no longer; nothing opened is given out before its tag was checked.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import { env } from "node:process";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadDecryptionError } from "./envelope-error.ts";
import { GoKmsTransport } from "./go-kms-transport.ts";
import { KeysteadInputError } from "./input-error.ts";
import { bufferOf, bytesOf } from "./wire-bytes.ts";

const FORMAT = 1;
const HEADER_BYTES = 5;
const SALT_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const LABEL = "keystead/go-kms/message/v1";
const ALGORITHM = "aes-256-gcm";
const HELD_MAX = 1000;
/** Clocks differ: a key is let go a little earlier. */
const SKEW_MS = 5000;
const referenceText = /^[a-zA-Z0-9-]{1,64}$/;

export interface GoKmsClientOptions {
  /** The server; KMS_BASE_URL, or `http://localhost:8080`, unless given. */
  readonly url?: string | undefined;
  /** The client's name; KMS_USER unless given. */
  readonly user?: string | undefined;
  /** Its password; KMS_PASS unless given. */
  readonly pass?: string | undefined;
  /** How long a call may take, its login included; 30,000 unless given. */
  readonly timeoutMs?: number | undefined;
  /** A token from before, used until the service refuses it. */
  readonly token?: string | undefined;
}

/** One version of a data encryption key. */
export interface GoKmsDek {
  /** 32 bytes in base64url without padding. */
  readonly dek: string;
  readonly version: number;
  readonly encoding: string;
  /** Until when it may be held. */
  readonly expiresAt: string;
}

/** The version that was asked for, and the one to encrypt with. */
export interface GoKmsKey {
  readonly decryptWith: GoKmsDek;
  readonly encryptWith: GoKmsDek;
  /** The version that was asked for is not the one to encrypt with. */
  readonly deprecated: boolean;
}

export class GoKmsClient {
  readonly #transport: GoKmsTransport;
  /** By reference and version; what was asked for without a version stands under the reference alone. */
  readonly #held = new Map<string, GoKmsKey>();

  /** @throws KeysteadInputError for a URL that is none */
  constructor(options: GoKmsClientOptions = {}) {
    const { url = env["KMS_BASE_URL"], user = env["KMS_USER"], pass = env["KMS_PASS"] } = options;
    this.#transport = new GoKmsTransport({ ...options, url: url ?? "http://localhost:8080", user, pass });
  }

  /** Logs in; calls do that by themselves. The token and how many milliseconds it lasts. */
  login(): Promise<{ readonly token: string; readonly ttl: number }> {
    return this.#transport.login();
  }

  /** Makes the client that a signup token allows, with this client's password, and goes on as it. */
  async signup(token: string): Promise<{ readonly token: string }> {
    return this.#transport.signup(token);
  }

  /** Makes a signup token for a client of this name: for administrators. */
  async invite(clientname: string, ttlMs?: number): Promise<string> {
    const body = ttlMs === undefined ? { clientname } : { clientname, ttl: ttlMs };
    const { json } = await this.#transport.send("POST", "/auth/signup/generate", body);
    const { token } = (json ?? {}) as Record<string, unknown>;
    if (typeof token !== "string")
      throw new KeysteadConnectionError("unexpected_answer", "The server's answer is no signup token");
    return token;
  }

  /** Makes a key. */
  generate(reference: string): Promise<GoKmsDek> {
    const body = { keyReference: assertReference(reference) };
    return this.#transport.send("POST", "/keys/actions/generate", body).then(({ json }) => dekOf(json));
  }

  /** A version of a key, and the one to encrypt with; the latest where no version is asked for. Asks the service. */
  async getKey(reference: string, version?: number): Promise<GoKmsKey> {
    const at = version === undefined ? "" : `/${assertVersion(version)}`;
    const { json, headers } = await this.#transport.send("GET", `/keys/${assertReference(reference)}${at}`);
    const { decryptWith, encryptWith } = (json ?? {}) as Record<string, unknown>;
    const key: GoKmsKey = {
      decryptWith: dekOf(decryptWith),
      encryptWith: dekOf(encryptWith),
      deprecated: headers.get("x-key-deprecated") === "true",
    };
    this.#hold(`${reference}/${key.decryptWith.version}`, key);
    this.#hold(reference, key);
    return key;
  }

  /** Makes the next version. */
  async rotate(reference: string): Promise<GoKmsDek> {
    const path = `/keys/${assertReference(reference)}/actions/rotate`;
    const { json } = await this.#transport.send("POST", path);
    this.#held.delete(reference);
    return dekOf(json);
  }

  /** Deletes a key with all its versions. */
  async delete(reference: string): Promise<void> {
    await this.#transport.send("DELETE", `/keys/${assertReference(reference)}/actions/delete`);
    this.forget();
  }

  /** Encrypts under the latest version; the message says which that was. */
  async encrypt(
    reference: string,
    plaintext: string | Uint8Array,
    aad: string | Uint8Array = "",
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { encryptWith } = this.#heldKey(reference) ?? (await this.getKey(reference));
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = FORMAT;
    header.writeUInt32BE(encryptWith.version, 1);
    const salt = randomBytes(SALT_BYTES);
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(ALGORITHM, messageKey(encryptWith, salt), nonce, {
      authTagLength: TAG_BYTES,
    });
    cipher.setAAD(Buffer.concat([header, bytesOf(aad)]));
    const parts = [header, salt, nonce, cipher.update(bytesOf(plaintext)), cipher.final()];
    return Buffer.concat([...parts, cipher.getAuthTag()]);
  }

  /**
   * Opens what `encrypt` made, under whatever version that was.
   * @throws KeysteadDecryptionError
   */
  async decrypt(
    reference: string,
    message: Uint8Array,
    aad: string | Uint8Array = "",
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = bufferOf(message);
    const start = HEADER_BYTES + SALT_BYTES + NONCE_BYTES;
    if (bytes.length < start + TAG_BYTES || bytes[0] !== FORMAT) throw new KeysteadDecryptionError();
    const version = bytes.readUInt32BE(1);
    if (version < 1 || version > 999_999_999) throw new KeysteadDecryptionError();
    const { decryptWith } =
      this.#heldKey(`${reference}/${version}`) ?? (await this.getKey(reference, version));
    const salt = bytes.subarray(HEADER_BYTES, HEADER_BYTES + SALT_BYTES);
    const nonce = bytes.subarray(HEADER_BYTES + SALT_BYTES, start);
    const decipher = createDecipheriv(ALGORITHM, messageKey(decryptWith, salt), nonce, {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.concat([bytes.subarray(0, HEADER_BYTES), bytesOf(aad)]));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const opened = decipher.update(bytes.subarray(start, -TAG_BYTES));
    try {
      decipher.final();
    } catch {
      opened.fill(0);
      throw new KeysteadDecryptionError();
    }
    return opened;
  }

  /** Lets go of all keys in memory. */
  forget(): void {
    this.#held.clear();
  }

  #heldKey(handle: string): GoKmsKey | undefined {
    const key = this.#held.get(handle);
    if (key === undefined) return undefined;
    if (Date.parse(key.encryptWith.expiresAt) - SKEW_MS > Date.now()) return key;
    this.#held.delete(handle);
    return undefined;
  }

  #hold(handle: string, key: GoKmsKey): void {
    this.#held.delete(handle);
    if (this.#held.size >= HELD_MAX) {
      const [oldest] = this.#held.keys();
      if (oldest !== undefined) this.#held.delete(oldest);
    }
    this.#held.set(handle, key);
  }
}

function messageKey({ dek }: GoKmsDek, salt: Uint8Array): Buffer {
  return Buffer.from(hkdfSync("sha256", Buffer.from(dek, "base64url"), salt, LABEL, KEY_BYTES));
}

function assertReference(reference: string): string {
  if (!referenceText.test(reference))
    throw new KeysteadInputError("invalid_name", "A key reference is 1 to 64 letters, digits and hyphens");
  return reference;
}

function assertVersion(version: number): number {
  if (!Number.isSafeInteger(version) || version < 1 || version > 999_999_999)
    throw new KeysteadInputError("invalid_name", "A version is a number from 1 on");
  return version;
}

function dekOf(value: unknown): GoKmsDek {
  const { dek, version, encoding, expiresAt } = (value ?? {}) as Record<string, unknown>;
  const bytes = typeof dek === "string" ? Buffer.from(dek, "base64url") : undefined;
  const isWhole = bytes?.length === KEY_BYTES && bytes.toString("base64url") === dek;
  if (
    !isWhole ||
    typeof version !== "number" ||
    typeof encoding !== "string" ||
    typeof expiresAt !== "string"
  )
    throw new KeysteadConnectionError("unexpected_answer", "The server's answer is no data encryption key");
  return { dek: dek, version, encoding, expiresAt };
}
