/**
 * What an opened key of a signature algorithm can do.
 * Invariant: the material stays inside the closures. Fast work answers at once; slow work gives a promise and is done off
 * the event loop.
 */
import { KeysteadError } from "../errors.ts";
import type { PublicPart } from "./asymmetric-key.ts";

/** What is signed: a message, or its digest by the algorithm's own hash. */
export type Signed = { readonly message: Uint8Array } | { readonly digest: Uint8Array };

/** RSA: RSASSA-PKCS1-v1_5 or RSASSA-PSS (RFC 8017 §8). */
export type SignatureScheme = "pkcs1v15" | "pss";
/** ECDSA: ASN.1 DER (RFC 3279 §2.2.3), or r ‖ s of the field's length each (IEEE P1363). */
export type SignatureEncoding = "der" | "raw";

export interface SignatureOptions {
  /** For RSA alone; PKCS#1 v1.5 where absent. */
  readonly scheme?: SignatureScheme | undefined;
  /** For ECDSA alone; DER where absent. */
  readonly encoding?: SignatureEncoding | undefined;
}

export interface SigningKey extends PublicPart {
  /** False where only the public part was imported: such a key verifies and does not sign. */
  readonly canSign: boolean;
  /** Throws `key_public_only`, `invalid_body` for an option that the algorithm has not, `busy`. */
  sign(signed: Signed, options?: SignatureOptions): Uint8Array | Promise<Uint8Array>;
  /** Whether the signature is good. Never throws for a malformed signature. Throws `invalid_body`, `busy`. */
  verify(signed: Signed, signature: Uint8Array, options?: SignatureOptions): boolean | Promise<boolean>;
}

/** Refuses a scheme or an encoding that the algorithm does not have. */
export function assertOptions(
  { scheme, encoding }: SignatureOptions,
  schemes: readonly SignatureScheme[],
  encodings: readonly SignatureEncoding[],
): void {
  if (scheme !== undefined && !schemes.includes(scheme)) {
    throw new KeysteadError("invalid_body", {
      field: "scheme",
      detail: "keys of this type have no such signature scheme",
    });
  }
  if (encoding !== undefined && !encodings.includes(encoding)) {
    throw new KeysteadError("invalid_body", {
      field: "encoding",
      detail: "signatures of this type have no such encoding",
    });
  }
}

/** Refuses a digest that the algorithm's hash cannot have made. */
export function assertDigest(digest: Uint8Array, digestBytes: number): void {
  if (digest.length !== digestBytes) {
    throw new KeysteadError("invalid_body", {
      field: "digest_b64",
      detail: "the digest has another length than the digests of this key's type",
    });
  }
}

/** The message; refuses a digest, for algorithms that sign messages only. */
export function messageOf(signed: Signed): Uint8Array {
  if ("message" in signed) return signed.message;
  throw new KeysteadError("invalid_body", {
    field: "digest_b64",
    detail: "keys of this type, or of this scheme, sign messages and no digests",
  });
}
