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
const COUNTER_BYTES = 6;
const COUNTER_AT = NONCE_BYTES - 1 - COUNTER_BYTES;

/** Numbers chunks, and gathers what comes into chunks of one size: one is held back, since it may be the last. */
abstract class ChunkCipher {
  protected readonly key: Uint8Array;
  readonly #inBytes: number;
  /** By how much a chunk grows, or shrinks. */
  readonly #growth: number;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);
  readonly #held: Buffer;
  #heldBytes = 0;
  #chunks = 0;

  constructor(key: Uint8Array, inBytes: number, growth: number) {
    this.key = key;
    this.#inBytes = inBytes;
    this.#growth = growth;
    this.#held = Buffer.allocUnsafeSlow(inBytes);
  }

  /** Writes what becomes of a chunk to a place in `out`. */
  protected abstract work(chunk: Uint8Array, nonce: Buffer, out: Buffer, at: number): void;

  /** Takes more; gives what is ready, which may be nothing. */
  push(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const size = this.#inBytes;
    const chunks = Math.max(0, Math.ceil((this.#heldBytes + bytes.length) / size) - 1);
    const out = Buffer.allocUnsafeSlow(chunks * (size + this.#growth));
    let from = 0;
    for (let done = 0; done < chunks; done++) {
      const at = done * (size + this.#growth);
      if (this.#heldBytes === 0) {
        // Whole chunks are worked on where they lie.
        this.#next(bytes.subarray(from, from + size), false, out, at);
        from += size;
      } else {
        from += this.#hold(bytes.subarray(from, from + size - this.#heldBytes));
        this.#next(this.#held, false, out, at);
        this.#heldBytes = 0;
      }
    }
    this.#hold(bytes.subarray(from));
    return out;
  }

  /** Ends the stream; gives the last of it, which may be nothing. */
  end(): Uint8Array<ArrayBuffer> {
    const out = Buffer.allocUnsafeSlow(Math.max(0, this.#heldBytes + this.#growth));
    this.#next(this.#held.subarray(0, this.#heldBytes), true, out, 0);
    this.wipe();
    return out;
  }

  /** Forgets the key and what is held. */
  wipe(): void {
    this.key.fill(0);
    this.#held.fill(0);
  }

  /** Whether the chunk under work is the only one. */
  protected isOnly(nonce: Buffer): boolean {
    return this.#chunks === 1 && nonce[NONCE_BYTES - 1] === LAST;
  }

  #hold(bytes: Uint8Array): number {
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes += bytes.length;
    return bytes.length;
  }

  #next(chunk: Uint8Array, isLast: boolean, out: Buffer, at: number): void {
    if (this.#chunks === CHUNKS_MAX) throw new RangeError("A stream has at most 256 TiB");
    this.#nonce.writeUIntBE(this.#chunks, COUNTER_AT, COUNTER_BYTES);
    this.#nonce[NONCE_BYTES - 1] = isLast ? LAST : 0;
    this.#chunks++;
    this.work(chunk, this.#nonce, out, at);
  }
}

export class ChunkSealer extends ChunkCipher {
  constructor(key: Uint8Array) {
    super(key, CHUNK_BYTES, TAG_BYTES);
  }

  protected work(chunk: Uint8Array, nonce: Buffer, out: Buffer, at: number): void {
    const cipher = createCipheriv(ALGORITHM, this.key, nonce, options);
    out.set(cipher.update(chunk), at);
    cipher.final();
    out.set(cipher.getAuthTag(), at + chunk.length);
  }
}

export class ChunkOpener extends ChunkCipher {
  constructor(key: Uint8Array) {
    super(key, CHUNK_BYTES + TAG_BYTES, -TAG_BYTES);
  }

  protected work(chunk: Uint8Array, nonce: Buffer, out: Buffer, at: number): void {
    const sealedBytes = chunk.length - TAG_BYTES;
    // Only an empty stream ends with an empty chunk: otherwise one plaintext would have two forms.
    if (sealedBytes < 0 || (sealedBytes === 0 && !this.isOnly(nonce))) throw this.#failed();
    const decipher = createDecipheriv(ALGORITHM, this.key, nonce, options);
    decipher.setAuthTag(chunk.subarray(sealedBytes));
    const opened = decipher.update(chunk.subarray(0, sealedBytes));
    try {
      decipher.final();
    } catch {
      opened.fill(0);
      throw this.#failed();
    }
    out.set(opened, at);
  }

  #failed(): KeysteadDecryptionError {
    this.wipe();
    return new KeysteadDecryptionError();
  }
}
