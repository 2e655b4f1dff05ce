/**
 * The barrier: seals every record before it reaches storage and opens it on the way back.
 * Sealed layout: format (1 byte, 1) ‖ barrier key version (4 bytes big-endian) ‖ XAES-256-GCM message
 * (nonce 24 ‖ ciphertext ‖ tag 16). Additional data, each field length-prefixed: "keystead/record/v1", the project,
 * the kind of object, its id, its version or revision, and the field.
 * Invariant: a sealed value opens only in the very place it was made for; moved, swapped, edited or truncated, it
 * does not, and the failure says nothing but that. The highest version that is here seals; all of them open.
 */
import { Buffer } from "node:buffer";
import { asBuffer, lengthPrefixed, sealedBytes, wipe, type SealedBytes, type SecretBytes } from "../bytes.ts";
import type { CipherKey } from "../crypto/cipher-key.ts";
import { openXaes256Gcm } from "../crypto/xaes-gcm.ts";
import { KeysteadError } from "../errors.ts";

const FORMAT = 1;
const HEADER_BYTES = 5;

/** Where a sealed value belongs. `revision` is the version or the revision that the value states. */
export interface RecordPlace {
  readonly project: string;
  readonly kind:
    | "key"
    | "key-version"
    | "key-usage"
    | "key-alias"
    | "service-secret"
    | "secret"
    | "secret-version"
    | "credential"
    | "project"
    | "account"
    | "client"
    | "token"
    | "password"
    | "signup"
    | "session"
    | "signing-key"
    | "role"
    | "issuer"
    | "jwt-revocation"
    | "outbox"
    | "idempotency"
    | "cursor";
  readonly id: string;
  readonly revision: number;
  readonly field: string;
}

export interface BarrierKey {
  readonly version: number;
  readonly key: SecretBytes;
}

interface OpenedKey {
  readonly key: SecretBytes;
  readonly cipher: CipherKey;
}

export class Barrier {
  readonly #keys = new Map<number, OpenedKey>();
  #latest = 0;

  /** @param keys all barrier keys that stored records may need; the highest version seals */
  constructor(keys: readonly BarrierKey[]) {
    for (const key of keys) this.add(key);
  }

  /** The version that seals. */
  get latest(): number {
    return this.#latest;
  }

  /** The versions that are here. */
  get versions(): readonly number[] {
    return [...this.#keys.keys()];
  }

  has(version: number): boolean {
    return this.#keys.has(version);
  }

  /** Takes a key in; where its version is the highest, it seals from now on. */
  add({ version, key }: BarrierKey): void {
    this.#keys.set(version, { key, cipher: openXaes256Gcm(key) });
    this.#latest = Math.max(this.#latest, version);
  }

  /** Wipes a key: what it sealed does not open any more. */
  forget(version: number): void {
    const opened = this.#keys.get(version);
    if (opened === undefined) return;
    this.#keys.delete(version);
    wipe(opened.key);
    this.#latest = Math.max(0, ...this.#keys.keys());
  }

  /** Seals bytes for one place. */
  seal(place: RecordPlace, plaintext: Uint8Array): SealedBytes {
    const opened = this.#keys.get(this.#latest);
    // They were all deleted by other nodes, whose root key this one does not have.
    if (opened === undefined)
      throw new KeysteadError("storage_unavailable", { cause: new Error("the barrier has no key") });
    const sealed = opened.cipher.encrypt(plaintext, contextOf(place), HEADER_BYTES);
    sealed[0] = FORMAT;
    sealed.writeUInt32BE(this.#latest, 1);
    return sealedBytes(sealed);
  }

  /** Opens what `seal` made for this place. Throws `internal_error`, whose cause names the kind and nothing else. */
  open(place: RecordPlace, sealed: Uint8Array): Buffer {
    const bytes = asBuffer(sealed);
    const version = sealedVersion(bytes);
    if (version !== undefined) {
      const plaintext = this.#keys
        .get(version)
        ?.cipher.decrypt(bytes.subarray(HEADER_BYTES), contextOf(place));
      if (plaintext !== undefined) return plaintext;
    }
    throw new KeysteadError("internal_error", {
      cause: new Error(`a stored record of kind ${place.kind} does not open: it was altered or moved`),
    });
  }

  /** Seals a JSON value. */
  sealJson(place: RecordPlace, value: unknown): SealedBytes {
    return this.seal(place, Buffer.from(JSON.stringify(value), "utf8"));
  }

  /** Opens a JSON value; its shape is vouched for by the seal, since only this program could have made it. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the seal vouches for the shape
  openJson<T>(place: RecordPlace, sealed: Uint8Array): T {
    return JSON.parse(this.open(place, sealed).toString("utf8")) as T;
  }
}

/** The barrier key version that a sealed value states; undefined for what is none. */
export function sealedVersion(sealed: Uint8Array): number | undefined {
  const bytes = asBuffer(sealed);
  return bytes.length > HEADER_BYTES && bytes[0] === FORMAT ? bytes.readUInt32BE(1) : undefined;
}

function contextOf(place: RecordPlace): Buffer {
  return lengthPrefixed(
    "keystead/record/v1",
    place.project,
    place.kind,
    place.id,
    String(place.revision),
    place.field,
  );
}
