/**
 * Encryption in the caller's own process, under data keys that a key of the service wraps: `client.envelope(name)`. The
 * bytes are described in envelope-format.ts.
 *
 *     const orders = keystead.envelope("orders");
 *     const message = await orders.encrypt("4111 1111", { context: "tenant-7" });
 *     const bytes = await orders.decrypt(message, { context: "tenant-7" });
 *
 * Invariant: without a data key nothing is encrypted and nothing is given out. While one is cached the service is not
 * asked; a data key serves one project, key and context.
 */
import { Buffer } from "node:buffer";
import { randomFillSync } from "node:crypto";
import { KeysteadApiError } from "./api-error.ts";
import { ChunkOpener, ChunkSealer } from "./chunk-cipher.ts";
import type { CipherCalls } from "./cipher-calls.ts";
import { KeysteadConnectionError } from "./connection-error.ts";
import { KeysteadCredentialError } from "./credential-error.ts";
import { DekCache, dekCacheDefaults, type DekCacheOptions, type HeldDek } from "./dek-cache.ts";
import { KeysteadDataKeyError, KeysteadDecryptionError } from "./envelope-error.ts";
import {
  COMMITMENT_BYTES,
  headerBytesOf,
  headerOf,
  KEY_BYTES,
  KIND_MESSAGE,
  KIND_STREAM,
  NONCE_BYTES,
  PREFIX_BYTES,
  SALT_BYTES,
  streamKeys,
  TAG_BYTES,
} from "./envelope-format.ts";
import { KeysteadInputError } from "./input-error.ts";
import { beginsWith, dekOf, open, openBody, seal, type EnvelopeDek } from "./message-cipher.ts";
import { abortable } from "./retry.ts";
import { bufferOf, bytesOf } from "./wire-bytes.ts";

/** Beyond this, streams are the better way. */
const MESSAGE_BYTES_MAX = 2 ** 30;
/** How the service refuses bytes that are no wrapped key of this key and context. */
const NOT_WRAPPED = ["decryption_failed", "invalid_encoding"];

export interface EnvelopeOptions {
  /**
   * What the data key is bound to, such as a tenant: each context has data keys of its own, which the service gives out for
   * it only. Decryption takes the same; empty unless set.
   */
  readonly context?: string | Uint8Array | undefined;
  /** Additional data of the one message or stream, such as a document's id. Decryption takes the same; empty unless set. */
  readonly aad?: string | Uint8Array | undefined;
  /** Ends the wait for a data key. */
  readonly signal?: AbortSignal | undefined;
}

/** The data keys that are in memory: those to encrypt with, and those that were unwrapped. */
export class DataKeyCaches {
  readonly encryption: DekCache;
  readonly decryption: DekCache;

  constructor(limits: Partial<DekCacheOptions> = {}) {
    const merged = { ...dekCacheDefaults, ...limits };
    this.encryption = new DekCache(merged);
    this.decryption = new DekCache(merged);
  }

  /** Wipes all of them: what follows asks the service. */
  clear(): void {
    this.encryption.clear();
    this.decryption.clear();
  }
}

/** The data key of the call before, for a text as context: most calls want the same again. */
interface Recent {
  readonly context: string;
  readonly held: HeldDek<EnvelopeDek>;
}

export class LocalCipher {
  readonly #service: Pick<CipherCalls, "generateDataKey" | "decrypt">;
  readonly #keyName: string;
  readonly #idPrefix: string;
  readonly #caches: DataKeyCaches;
  #sealed: Recent | undefined;
  #opened: Recent | undefined;

  constructor(
    service: Pick<CipherCalls, "generateDataKey" | "decrypt">,
    keyName: string,
    project: string | undefined,
    caches: DataKeyCaches,
  ) {
    this.#service = service;
    this.#keyName = keyName;
    this.#idPrefix = `${project ?? ""}\0${keyName}\0`;
    this.#caches = caches;
  }

  /**
   * Encrypts bytes, or text as UTF-8, of at most 1 GiB.
   * @throws KeysteadDataKeyError where there is no data key and the service does not answer; KeysteadApiError where it
   * refuses; KeysteadInputError
   */
  async encrypt(
    plaintext: string | Uint8Array,
    { context = "", aad = "", signal }: EnvelopeOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = bytesOf(plaintext);
    if (bytes.length > MESSAGE_BYTES_MAX) {
      throw new KeysteadInputError("payload_too_large", "A message has at most 1 GiB; streams may be longer");
    }
    const cache = this.#caches.encryption;
    const recent = this.#sealed;
    let held =
      recent !== undefined && recent.context === context
        ? cache.holdAgain(recent.held, bytes.length)
        : undefined;
    if (held === undefined) {
      const id = this.#idOf(context);
      held = cache.hold<EnvelopeDek>(id, bytes.length);
      if (held === undefined) {
        const sealing = cache.use(id, bytes.length, this.#fetchNew(context), (dek) => seal(dek, bytes, aad));
        return abortable(sealing, signal);
      }
      if (typeof context === "string") this.#sealed = { context, held };
    }
    try {
      return seal(held.dek, bytes, aad);
    } finally {
      cache.release(held);
    }
  }

  /**
   * Opens what `encrypt` made.
   * @throws KeysteadDecryptionError for everything else, whatever it is; and as `encrypt` does
   */
  async decrypt(
    message: Uint8Array,
    { context = "", aad = "", signal }: EnvelopeOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = bufferOf(message);
    const cache = this.#caches.decryption;
    const recent = this.#opened;
    // Most messages begin as the one before: then this one comparison stands for header, look-up and commitment.
    const same =
      recent !== undefined && recent.context === context && beginsWith(bytes, recent.held.dek.prefix)
        ? cache.holdAgain(recent.held, bytes.length)
        : undefined;
    if (same !== undefined) {
      try {
        return openBody(same.dek, bytes, aad);
      } finally {
        cache.release(same);
      }
    }
    const headerBytes = headerBytesOf(KIND_MESSAGE, bytes);
    if (
      headerBytes === undefined ||
      bytes.length < headerBytes + COMMITMENT_BYTES + NONCE_BYTES + TAG_BYTES ||
      bytes.length > headerBytes + COMMITMENT_BYTES + NONCE_BYTES + MESSAGE_BYTES_MAX + TAG_BYTES
    ) {
      throw new KeysteadDecryptionError();
    }
    const wrapped = bytes.subarray(PREFIX_BYTES, headerBytes);
    const id = this.#wrappedIdOf(context, wrapped);
    const held = cache.hold<EnvelopeDek>(id, bytes.length);
    if (held === undefined) {
      const fetch = this.#fetchWrapped(context, wrapped);
      return abortable(
        cache.use(id, bytes.length, fetch, (dek) => open(dek, bytes, aad)),
        signal,
      );
    }
    if (typeof context === "string") this.#opened = { context, held };
    try {
      return open(held.dek, bytes, aad);
    } finally {
      cache.release(held);
    }
  }

  /** Encrypts a stream of bytes of any length, in constant memory. It fails as `encrypt` does. */
  encryptStream(call: EnvelopeOptions = {}): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
    const { context = "", aad = "", signal } = call;
    let sealer: ChunkSealer | undefined;
    return new TransformStream({
      start: async (controller) => {
        const aadBytes = bytesOf(aad);
        const starting = this.#caches.encryption.use(
          this.#idOf(context),
          0,
          this.#fetchNew(context),
          (dek) => {
            const salt = randomFillSync(Buffer.allocUnsafeSlow(SALT_BYTES));
            const { key, commitment } = streamKeys(dek.key, salt, dek.context, aadBytes);
            sealer = new ChunkSealer(key);
            return Buffer.concat([headerOf(KIND_STREAM, dek.wrapped), salt, commitment]);
          },
        );
        controller.enqueue(await abortable(starting, signal));
      },
      transform: (bytes, controller) => {
        pass(sealer?.push(bytes), controller);
      },
      flush: (controller) => {
        pass(sealer?.end(), controller);
      },
    });
  }

  /**
   * Opens what `encryptStream` made, in constant memory. Each chunk comes out after it was found authentic; that all of them
   * came is known only at the end, so act on what came when the stream has ended without a failure.
   */
  decryptStream(call: EnvelopeOptions = {}): TransformStream<Uint8Array, Uint8Array<ArrayBuffer>> {
    let beginning: Buffer = Buffer.alloc(0);
    let opener: ChunkOpener | undefined;
    return new TransformStream({
      transform: async (bytes, controller) => {
        if (opener !== undefined) {
          pass(opener.push(bytes), controller);
          return;
        }
        beginning = Buffer.concat([beginning, bytes]);
        const headerBytes = headerBytesOf(KIND_STREAM, beginning);
        const startBytes = (headerBytes ?? Infinity) + SALT_BYTES + COMMITMENT_BYTES;
        if (headerBytes === undefined || beginning.length < startBytes) return;
        opener = await this.#openerOf(beginning.subarray(0, startBytes), headerBytes, call);
        pass(opener.push(beginning.subarray(startBytes)), controller);
        beginning = Buffer.alloc(0);
      },
      flush: (controller) => {
        if (opener === undefined) throw new KeysteadDecryptionError();
        pass(opener.end(), controller);
      },
    });
  }

  async #openerOf(start: Buffer, headerBytes: number, call: EnvelopeOptions): Promise<ChunkOpener> {
    const { context = "", aad = "", signal } = call;
    const wrapped = start.subarray(PREFIX_BYTES, headerBytes);
    const salt = start.subarray(headerBytes, headerBytes + SALT_BYTES);
    const aadBytes = bytesOf(aad);
    const opening = this.#caches.decryption.use(
      this.#wrappedIdOf(context, wrapped),
      0,
      this.#fetchWrapped(context, wrapped),
      (dek) => {
        const { key, commitment } = streamKeys(dek.key, salt, dek.context, aadBytes);
        if (!commitment.equals(start.subarray(headerBytes + SALT_BYTES))) throw new KeysteadDecryptionError();
        return new ChunkOpener(key);
      },
    );
    return abortable(opening, signal);
  }

  /** Fetches a new data key, which then opens what it encrypted as well. */
  #fetchNew(context: string | Uint8Array): () => Promise<EnvelopeDek> {
    return async () => {
      const contextBytes = copyOf(context);
      const dataKey = await this.#service
        .generateDataKey(this.#keyName, { bytes: KEY_BYTES, ...aadOf(contextBytes) })
        .catch(rethrow);
      const wrapped = Buffer.from(dataKey.ciphertext, "base64");
      const id = this.#wrappedIdOf(contextBytes, wrapped);
      const again = (): Promise<EnvelopeDek> =>
        Promise.resolve(dekOf(Uint8Array.from(dataKey.plaintext), wrapped, contextBytes));
      await this.#caches.decryption.use(id, 0, again, () => undefined);
      return dekOf(dataKey.plaintext, wrapped, contextBytes);
    };
  }

  #fetchWrapped(context: string | Uint8Array, wrapped: Buffer): () => Promise<EnvelopeDek> {
    return async () => {
      const contextBytes = copyOf(context);
      const kept = Buffer.from(wrapped);
      const { plaintext } = await this.#service
        .decrypt(this.#keyName, kept, aadOf(contextBytes))
        .catch(rethrow);
      return dekOf(plaintext, kept, contextBytes);
    };
  }

  /** Texts and the same bytes have one id. */
  #idOf(context: string | Uint8Array): string {
    return this.#idPrefix + bufferOf(bytesOf(context)).toString("latin1");
  }

  #wrappedIdOf(context: string | Uint8Array, wrapped: Buffer): string {
    const contextBytes = bufferOf(bytesOf(context));
    return `${this.#idPrefix}${contextBytes.length}\0${contextBytes.toString("latin1")}${wrapped.toString("latin1")}`;
  }
}

function pass(
  ready: Uint8Array<ArrayBuffer> | undefined,
  controller: TransformStreamDefaultController<Uint8Array<ArrayBuffer>>,
): void {
  if (ready !== undefined && ready.length > 0) controller.enqueue(ready);
}

function copyOf(value: string | Uint8Array): Uint8Array {
  return Uint8Array.from(bytesOf(value));
}

function aadOf(context: Uint8Array): { readonly aad?: Uint8Array } {
  return context.length === 0 ? {} : { aad: context };
}

/** What the service or the network failed with, as what it means for a message. */
function rethrow(failure: unknown): never {
  if (failure instanceof KeysteadApiError) {
    if (NOT_WRAPPED.includes(failure.code)) throw new KeysteadDecryptionError();
    if (failure.status === 429 || failure.status >= 500) throw new KeysteadDataKeyError(failure);
  }
  if (failure instanceof KeysteadConnectionError || failure instanceof KeysteadCredentialError) {
    throw new KeysteadDataKeyError(failure);
  }
  throw failure;
}
