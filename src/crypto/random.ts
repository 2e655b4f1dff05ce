/**
 * Random bytes from the operating system's generator.
 * Invariant: every byte of the pool is handed out at most once; what `randomNonce` gives is public by nature,
 * so key material never comes from the pool.
 */
import { Buffer } from "node:buffer";
import { randomBytes, randomFillSync, randomUUID } from "node:crypto";
import { secretBytes, type SecretBytes } from "../bytes.ts";

const POOL_BYTES = 8192;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** Fresh bytes for a nonce: one call to the generator serves hundreds of nonces. */
export function randomNonce(bytes: number): Buffer {
  if (used + bytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const nonce = Buffer.allocUnsafe(bytes);
  pool.copy(nonce, 0, used, used + bytes);
  used += bytes;
  return nonce;
}

/** Fresh key material. */
export function randomSecret(bytes: number): SecretBytes {
  return secretBytes(randomBytes(bytes));
}

/** A random identifier (UUID version 4, RFC 9562 §5.4). */
export function randomId(): string {
  return randomUUID();
}
