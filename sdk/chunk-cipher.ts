/**
 * The chunks of a stream, as bytes come and go (the layout is in envelope-format.ts). Works on one direction of one
 * stream, and keeps one chunk at most.
 * Invariant: opened bytes are given out after their tag was checked, and `end` returns only where the last chunk is there
 * and authentic. After a failure nothing more is given out.
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import { KeysteadDecryptionError } from "./envelope-error.ts";
import { CHUNK_BYTES, NONCE_BYTES, TAG_BYTES } from "./envelope-format.ts";

const ALGORITHM = "aes-256-gcm";
const options = { authTagLength: TAG_BYTES };
const LAST = 1;
/** 256 TiB; far from what the counter could number. */
const CHUNKS_MAX = 2 ** 32;
const COUNTER_AT = NONCE_BYTES - 1 - 6;

/** Numbers chunks, and gathers what comes into chunks of one size: one is held back, since it may be the last. */
abstract class ChunkCipher {
  protected readonly key: Uint8Array;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #sizeBytes: number;
  #held: Buffer;
  #heldBytes = 0;
  #chunks = 0;

  constructor(key: Uint8Array, sizeBytes: number) {
    this.key = key;
    this.#sizeBytes = sizeBytes;
    this.#held = Buffer.allocUnsafeSlow(sizeBytes);
  }

  protected abstract work(chunk: Uint8Array, nonce: Buffer, isLast: boolean): readonly Uint8Array[];

  /** Takes more; gives what is ready. */
  push(bytes: Uint8Array): Uint8Array[] {
    const ready: Uint8Array[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#heldBytes === this.#sizeBytes) {
        ready.push(...this.#next(this.#held, false));
        this.#heldBytes = 0;
      }
      // Whole chunks that are followed by more are worked on where they lie.
      if (this.#heldBytes === 0 && bytes.length - at > this.#sizeBytes) {
        ready.push(...this.#next(bytes.subarray(at, at + this.#sizeBytes), false));
        at += this.#sizeBytes;
      } else {
        const part = bytes.subarray(at, at + this.#sizeBytes - this.#heldBytes);
        this.#held.set(part, this.#heldBytes);
        this.#heldBytes += part.length;
        at += part.length;
      }
    }
    return ready;
  }

  /** Ends the stream; gives the last of it. */
  end(): Uint8Array[] {
    const last = this.#next(this.#held.subarray(0, this.#heldBytes), true);
    this.wipe();
    return [...last];
  }

  /** Forgets the key and what is held. */
  wipe(): void {
    this.key.fill(0);
    this.#held.fill(0);
  }

  protected get isFirst(): boolean {
    return this.#chunks === 1;
  }

  #next(chunk: Uint8Array, isLast: boolean): readonly Uint8Array[] {
    if (this.#chunks === CHUNKS_MAX) throw new RangeError("A stream has at most 256 TiB");
    this.#nonce.writeUIntBE(this.#chunks, COUNTER_AT, 6);
    this.#nonce[NONCE_BYTES - 1] = isLast ? LAST : 0;
    this.#chunks++;
    return this.work(chunk, this.#nonce, isLast);
  }
}

export class ChunkSealer extends ChunkCipher {
  constructor(key: Uint8Array) {
    super(key, CHUNK_BYTES);
  }

  protected work(chunk: Uint8Array, nonce: Buffer): readonly Uint8Array[] {
    const cipher = createCipheriv(ALGORITHM, this.key, nonce, options);
    const sealed = cipher.update(chunk);
    cipher.final();
    return sealed.length === 0 ? [cipher.getAuthTag()] : [sealed, cipher.getAuthTag()];
  }
}

export class ChunkOpener extends ChunkCipher {
  constructor(key: Uint8Array) {
    super(key, CHUNK_BYTES + TAG_BYTES);
  }

  protected work(chunk: Uint8Array, nonce: Buffer, isLast: boolean): readonly Uint8Array[] {
    const sealedBytes = chunk.length - TAG_BYTES;
    // Only an empty stream ends with an empty chunk: otherwise one plaintext would have two forms.
    if (sealedBytes < 0 || (isLast && sealedBytes === 0 && !this.isFirst)) throw this.#failed();
    const decipher = createDecipheriv(ALGORITHM, this.key, nonce, options);
    decipher.setAuthTag(chunk.subarray(sealedBytes));
    const opened = decipher.update(chunk.subarray(0, sealedBytes));
    try {
      decipher.final();
    } catch {
      opened.fill(0);
      throw this.#failed();
    }
    return opened.length === 0 ? [] : [opened];
  }

  #failed(): KeysteadDecryptionError {
    this.wipe();
    return new KeysteadDecryptionError();
  }
}
