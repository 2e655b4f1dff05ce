/**
 * Key agreement with keys (RFC 7748 §6.1).
 * Invariant: what leaves was derived, unless the caller asked for the shared secret as it is; every reason why a peer's
 * key gives no secret looks the same.
 */
import type { Buffer } from "node:buffer";
import { wipe } from "../bytes.ts";
import { hkdfSha256 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import { assertOpening, assertUse, openedAs } from "./key-use.ts";
import { latestVersion, type Key } from "./key.ts";
import type { Keyring } from "./keyring.ts";

/** HKDF-SHA-256 (RFC 5869). */
export interface Derivation {
  readonly salt: Uint8Array;
  readonly info: Uint8Array;
  readonly bytes: number;
}

export interface AgreeInput {
  /** The peer's public key: its own bytes, or its SPKI. */
  readonly peer: Uint8Array;
  /** Undefined gives the shared secret as it is. */
  readonly derivation: Derivation | undefined;
  /** Undefined takes the latest. */
  readonly version: number | undefined;
}

export interface Agreed {
  readonly version: number;
  readonly sharedSecret: Buffer;
}

/** What the key and the peer's have in common. Throws `invalid_body` for a peer's key that gives nothing. */
export async function agree(
  keyring: Keyring,
  key: Key,
  { peer, derivation, version: wanted }: AgreeInput,
): Promise<Agreed> {
  assertUse(key, "agree", "agreement");
  if (key.publicOnly) throw new KeysteadError("key_public_only");
  const version = wanted ?? latestVersion(key);
  // As with decapsulation: the peer may have used the public key of an older version.
  assertOpening(key, version);
  const opened = await openedAs(keyring, key, version, "agreement");
  const sharedSecret = await opened.key.agree(peer);
  if (sharedSecret === undefined) {
    throw new KeysteadError("invalid_body", {
      field: "peer_public_key_b64",
      detail: "this is no public key that the key's type agrees with",
    });
  }
  if (derivation === undefined) return { version, sharedSecret };
  const derived = hkdfSha256(sharedSecret, derivation.salt, derivation.info, derivation.bytes);
  wipe(sharedSecret);
  return { version, sharedSecret: derived };
}
