/**
 * A driver for unstorage (version 1) that encrypts values on their way into another driver.
 *
 *     const driver = encryptedDriver(fsDriver({ base: "./data" }), keystead.envelope("files"), "files");
 *     const storage = createStorage({ driver });
 *
 * The other driver sees the items' keys and sizes; of the values it sees ciphertext in base64. Raw values go the same way,
 * as the text that unstorage makes of them. Invariant: a value opens under its own key in the storage of its own name only;
 * what is no ciphertext, a value from before the encryption among it, is an error and never given out.
 */
import { Buffer } from "node:buffer";
import type { LocalCipher } from "../sdk/local-cipher.ts";

type Awaitable<T> = T | Promise<T>;
type Options = Record<string, unknown>;
type WatchCallback = (event: "update" | "remove", key: string) => unknown;

/** What is asked of the driver below: any of unstorage's will do. */
export interface InnerDriver {
  readonly name?: string;
  readonly flags?: { readonly maxDepth?: boolean; readonly ttl?: boolean };
  readonly hasItem: (key: string, options: Options) => Awaitable<boolean>;
  readonly getItem: (key: string, options?: Options) => unknown;
  readonly setItem?: (key: string, value: string, options: Options) => Awaitable<void>;
  readonly removeItem?: (key: string, options: Options) => Awaitable<void>;
  readonly getMeta?: (key: string, options: Options) => unknown;
  readonly getKeys: (base: string, options: Options) => Awaitable<string[]>;
  readonly clear?: (base: string, options: Options) => Awaitable<void>;
  readonly dispose?: () => Awaitable<void>;
  readonly watch?: (callback: WatchCallback) => unknown;
}

/** A driver that reads; it writes what the one below writes. unstorage calls its functions without the driver itself. */
export interface EncryptedDriver {
  readonly name: string;
  readonly flags?: { maxDepth?: boolean; ttl?: boolean };
  readonly hasItem: (key: string, options: Options) => Awaitable<boolean>;
  readonly getItem: (key: string, options?: Options) => Promise<string | null>;
  readonly setItem?: (key: string, value: string, options: Options) => Promise<void>;
  readonly removeItem?: (key: string, options: Options) => Awaitable<void>;
  readonly getMeta?: (key: string, options: Options) => Awaitable<Record<string, string | number> | null>;
  readonly getKeys: (base: string, options: Options) => Awaitable<string[]>;
  readonly clear?: (base: string, options: Options) => Awaitable<void>;
  readonly dispose?: () => Awaitable<void>;
  readonly watch?: (callback: WatchCallback) => Awaitable<() => Awaitable<void>>;
}

/**
 * The driver.
 * @param inner where the ciphertexts go
 * @param cipher of one key of the service: `client.envelope(keyName)`
 * @param name what the values are bound to besides their keys, such as the storage's place: another name opens none of them
 */
export function encryptedDriver(inner: InnerDriver, cipher: LocalCipher, name: string): EncryptedDriver {
  const { setItem, removeItem, getMeta, clear, dispose, watch, flags } = inner;
  return {
    name: `keystead:${inner.name ?? "unnamed"}`,
    ...(flags === undefined ? {} : { flags }),
    hasItem: (key, options) => inner.hasItem(key, options),
    async getItem(key, options) {
      const stored = await inner.getItem(key, options);
      if (stored === undefined || stored === null) return null;
      const message = Buffer.from(typeof stored === "string" ? stored : "", "base64");
      const opened = await cipher.decrypt(message, { context: name, aad: key });
      return Buffer.from(opened).toString("utf8");
    },
    ...(setItem === undefined
      ? {}
      : {
          async setItem(key: string, value: string, options: Options) {
            const message = await cipher.encrypt(value, { context: name, aad: key });
            await setItem.call(inner, key, Buffer.from(message).toString("base64"), options);
          },
        }),
    getKeys: (base, options) => inner.getKeys(base, options),
    ...(removeItem === undefined ? {} : { removeItem: removeItem.bind(inner) }),
    ...(getMeta === undefined
      ? {}
      : { getMeta: getMeta.bind(inner) as NonNullable<EncryptedDriver["getMeta"]> }),
    ...(clear === undefined ? {} : { clear: clear.bind(inner) }),
    ...(dispose === undefined ? {} : { dispose: dispose.bind(inner) }),
    ...(watch === undefined ? {} : { watch: watch.bind(inner) as NonNullable<EncryptedDriver["watch"]> }),
  };
}
