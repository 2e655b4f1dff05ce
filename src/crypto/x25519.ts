/**
 * X25519 (RFC 7748 §5, §6.1): two keys, one shared secret.
 * Invariant: a peer's key of a small order, which makes the secret zero whatever the own key is, gives none. Every other 32
 * bytes are taken, as §5 asks for: the top bit is not looked at, and numbers beyond the field are reduced.
 */
import { Buffer } from "node:buffer";
import { createPublicKey, diffieHellman } from "node:crypto";
import { secretBytes } from "../bytes.ts";
import type { AgreementKey } from "./agreement-key.ts";
import { ownPrivateKey } from "./asymmetric-key.ts";
import type { Material } from "./material.ts";
import { seedKeys } from "./seed-key.ts";

const PUBLIC_BYTES = 32;
/** SubjectPublicKeyInfo up to the key itself (RFC 8410 §4). */
const SPKI_HEAD = Buffer.from("302a300506032b656e032100", "hex");

export const x25519Keys = seedKeys({
  oid: "2b656e",
  seedBytes: 32,
  publicBytes: PUBLIC_BYTES,
  jwk: { kty: "OKP", crv: "X25519" },
});

/** Opens stored material for use. */
export function openX25519(material: Material): AgreementKey {
  const { pair, publicPart } = x25519Keys.open(material);
  return {
    canAgree: pair.privateKey !== undefined,
    agree(peer) {
      const privateKey = ownPrivateKey(pair);
      const bytes = peer.length === PUBLIC_BYTES ? peer : afterHead(peer);
      if (bytes?.length !== PUBLIC_BYTES) return undefined;
      try {
        const key = Buffer.concat([SPKI_HEAD, bytes]);
        const publicKey = createPublicKey({ key, format: "der", type: "spki" });
        const secret = secretBytes(diffieHellman({ privateKey, publicKey }));
        // RFC 7748 §6.1; the platforms refuse it too.
        return secret.every((byte) => byte === 0) ? undefined : secret;
      } catch {
        return undefined;
      }
    },
    ...publicPart,
  };
}

function afterHead(spki: Uint8Array): Uint8Array | undefined {
  return SPKI_HEAD.equals(spki.subarray(0, SPKI_HEAD.length)) ? spki.subarray(SPKI_HEAD.length) : undefined;
}
