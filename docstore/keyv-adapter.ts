/**
 * A store for Keyv (version 5) that encrypts values on their way into another store.
 *
 *     const keyv = new Keyv({ store: encryptedKeyv(new Map(), keystead.envelope("sessions"), "sessions") });
 *
 * The other store sees the entries' keys, their sizes and times to live; of the values, and of when they expire, it sees
 * ciphertext in base64. Invariant: a value opens under its own key in the store of its own name only; what is no ciphertext,
 * a value from before the encryption among it, is an error and never given out.
 */
import { Buffer } from "node:buffer";
import type { LocalCipher } from "../sdk/local-cipher.ts";

type Awaitable<T> = T | Promise<T>;

/** What is asked of the store below: a Map will do, and any store that Keyv takes. */
export interface InnerKeyvStore {
  get(key: string): unknown;
  set(key: string, value: string, ttl?: number): unknown;
  delete(key: string): Awaitable<boolean>;
  clear(): Awaitable<void>;
  has?(key: string): Awaitable<boolean>;
  disconnect?(): Awaitable<void>;
  namespace?: string | undefined;
}

export class EncryptedKeyvStore {
  /** Keyv looks here for what it knows of other stores. */
  readonly opts: { readonly url: string } = { url: "" };
  readonly #inner: InnerKeyvStore;
  readonly #cipher: LocalCipher;
  readonly #name: string;

  constructor(inner: InnerKeyvStore, cipher: LocalCipher, name: string) {
    this.#inner = inner;
    this.#cipher = cipher;
    this.#name = name;
  }

  /** Keyv's: stores that clear a namespace only have to know it. */
  get namespace(): string | undefined {
    return this.#inner.namespace;
  }

  set namespace(namespace: string | undefined) {
    if (!(this.#inner instanceof Map)) this.#inner.namespace = namespace;
  }

  /** Keyv asks whether something fails beside a call: nothing does. */
  on(): this {
    return this;
  }

  async get(key: string): Promise<string | undefined> {
    const stored = await this.#inner.get(key);
    if (stored === undefined || stored === null) return undefined;
    const message = Buffer.from(typeof stored === "string" ? stored : "", "base64");
    const opened = await this.#cipher.decrypt(message, { context: this.#name, aad: key });
    return Buffer.from(opened).toString("utf8");
  }

  /** @throws TypeError where Keyv was told not to serialize */
  async set(key: string, value: unknown, ttl?: number): Promise<void> {
    if (typeof value !== "string")
      throw new TypeError("Keyv's own serialization is needed: values are encrypted as text");
    const message = await this.#cipher.encrypt(value, { context: this.#name, aad: key });
    await this.#inner.set(key, Buffer.from(message).toString("base64"), ttl);
  }

  async delete(key: string): Promise<boolean> {
    return this.#inner.delete(key);
  }

  async clear(): Promise<void> {
    await this.#inner.clear();
  }

  async has(key: string): Promise<boolean> {
    // Whether it has expired stands inside: Keyv asks for the value where it has to know.
    return this.#inner.has === undefined ? (await this.get(key)) !== undefined : this.#inner.has(key);
  }

  async disconnect(): Promise<void> {
    await this.#inner.disconnect?.();
  }
}

/**
 * The store.
 * @param inner where the ciphertexts go
 * @param cipher of one key of the service: `client.envelope(keyName)`
 * @param name what the values are bound to besides their keys, such as the store's place: another name opens none of them
 */
export function encryptedKeyv(inner: InnerKeyvStore, cipher: LocalCipher, name: string): EncryptedKeyvStore {
  return new EncryptedKeyvStore(inner, cipher, name);
}
