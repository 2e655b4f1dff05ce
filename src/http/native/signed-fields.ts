/** The fields of signatures and MACs, for one and for many. */
import { z } from "zod";
import type { SignatureOptions, Signed } from "../../crypto/signing-key.ts";
import { KeysteadError } from "../../errors.ts";
import { base64Bytes, base64Text, bytesOf, PAYLOAD_BYTES_MAX, textOrBase64 } from "./fields.ts";

export const SIGNATURE_BYTES_MAX = 8192;
export const MAC_BYTES_MAX = 64;
const DIGEST_BYTES_MAX = 64;

const schemes = ["pkcs1v15", "pss"] as const;
const encodings = ["der", "raw"] as const;

export const optionFields = {
  scheme: z.enum(schemes).optional(),
  encoding: z.enum(encodings).optional(),
};

export const signedFields = { digest_b64: base64Text.optional(), ...textOrBase64("message") };

export interface SignedBody {
  readonly message?: string | undefined;
  readonly message_b64?: string | undefined;
  readonly digest_b64?: string | undefined;
}

/** What is signed: one of a message and its digest. */
export function signedOf(body: SignedBody): Signed {
  const message = bytesOf("message", body.message, body.message_b64, PAYLOAD_BYTES_MAX);
  if ((message === undefined) === (body.digest_b64 === undefined)) {
    throw new KeysteadError("invalid_body", { detail: "give one of digest_b64, message and message_b64" });
  }
  if (message !== undefined) return { message };
  return { digest: base64Bytes("digest_b64", body.digest_b64 ?? "", DIGEST_BYTES_MAX) };
}

export function optionsOf(body: {
  readonly scheme?: SignatureOptions["scheme"] | undefined;
  readonly encoding?: SignatureOptions["encoding"] | undefined;
}): SignatureOptions {
  return { scheme: body.scheme, encoding: body.encoding };
}
