/** The native API's routes for signatures, MACs, key encapsulation and random bytes. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import type { Derivation } from "../../keyring/agreement-use.ts";
import {
  keyAgree,
  keyDecapsulate,
  keyEncapsulate,
  keyMac,
  keySign,
  keyVerify,
  keyVerifyMac,
  randomGenerate,
} from "../../service/signature-operations.ts";
import {
  base64Bytes,
  base64Text,
  bytesOf,
  namedParams,
  PAYLOAD_BODY_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  requiredBytesOf,
  textOrBase64,
  versionNumber,
} from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";
import {
  MAC_BYTES_MAX,
  optionFields,
  optionsOf,
  SIGNATURE_BYTES_MAX,
  signedFields,
  signedOf,
} from "./signed-fields.ts";

const ENCAPSULATION_BYTES_MAX = 4096;
const RANDOM_BYTES_MAX = 4096;
/** A public key's SPKI, with room to say of a longer one that it is none. */
const PEER_KEY_BYTES_MAX = 1024;
const SALT_BYTES_MAX = 1024;
const INFO_BYTES_MAX = 4096;
const DERIVED_BYTES_MIN = 16;
const DERIVED_BYTES_MAX = 1024;
const DERIVED_BYTES = 32;

const verdict = z.strictObject({ valid: z.boolean(), version: versionNumber.optional() });
const version = versionNumber.optional();

export const signatureRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: keySign,
    method: "POST",
    path: "/v1/keys/{name}/sign",
    summary: "Sign a message or, where the algorithm has one, its digest",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ...signedFields, ...optionFields, version }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ signature_b64: base64Text, version: versionNumber }),
    input: ({ params, body }) => ({
      name: params.name,
      signed: signedOf(body),
      options: optionsOf(body),
      version: body.version,
    }),
    output: ({ signature, version: used }) => ({
      signature_b64: Buffer.from(signature).toString("base64"),
      version: used,
    }),
  }),
  nativeRoute({
    operation: keyVerify,
    method: "POST",
    path: "/v1/keys/{name}/verify",
    summary: "Verify a signature over a message or its digest",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ...signedFields, ...optionFields, signature_b64: base64Text, version }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: verdict,
    input: ({ params, body }) => ({
      name: params.name,
      signed: signedOf(body),
      options: optionsOf(body),
      signature: base64Bytes("signature_b64", body.signature_b64, SIGNATURE_BYTES_MAX),
      version: body.version,
    }),
    output: ({ valid, version: used }) => (valid ? { valid, version: used } : { valid }),
  }),
  nativeRoute({
    operation: keyMac,
    method: "POST",
    path: "/v1/keys/{name}/mac",
    summary: "Make a message authentication code",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ...textOrBase64("message"), version }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ mac_b64: base64Text, version: versionNumber }),
    input: ({ params, body }) => ({
      name: params.name,
      message: requiredBytesOf("message", body.message, body.message_b64, PAYLOAD_BYTES_MAX),
      version: body.version,
    }),
    output: ({ mac, version: used }) => ({ mac_b64: mac.toString("base64"), version: used }),
  }),
  nativeRoute({
    operation: keyVerifyMac,
    method: "POST",
    path: "/v1/keys/{name}/verify-mac",
    summary: "Verify a message authentication code",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ...textOrBase64("message"), mac_b64: base64Text, version }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: verdict,
    input: ({ params, body }) => ({
      name: params.name,
      message: requiredBytesOf("message", body.message, body.message_b64, PAYLOAD_BYTES_MAX),
      mac: base64Bytes("mac_b64", body.mac_b64, MAC_BYTES_MAX),
      version: body.version,
    }),
    output: ({ valid, version: used }) => (valid ? { valid, version: used } : { valid }),
  }),
  nativeRoute({
    operation: keyEncapsulate,
    method: "POST",
    path: "/v1/keys/{name}/encapsulate",
    summary: "Make a shared secret, and the ciphertext that gives it to the key's holder",
    status: 200,
    params: namedParams,
    body: z.strictObject({ version }),
    response: z.strictObject({
      shared_secret_b64: base64Text,
      ciphertext: base64Text,
      version: versionNumber,
    }),
    input: ({ params, body }) => ({ name: params.name, version: body.version }),
    output: ({ sharedSecret, ciphertext, version: used }) => ({
      shared_secret_b64: sharedSecret.toString("base64"),
      ciphertext: ciphertext.toString("base64"),
      version: used,
    }),
  }),
  nativeRoute({
    operation: keyDecapsulate,
    method: "POST",
    path: "/v1/keys/{name}/decapsulate",
    summary: "Get the shared secret of an encapsulation",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ciphertext: base64Text }),
    response: z.strictObject({ shared_secret_b64: base64Text, version: versionNumber }),
    input: ({ params, body }) => ({
      name: params.name,
      ciphertext: base64Bytes("ciphertext", body.ciphertext, ENCAPSULATION_BYTES_MAX),
    }),
    output: ({ sharedSecret, version: used }) => ({
      shared_secret_b64: sharedSecret.toString("base64"),
      version: used,
    }),
  }),
  nativeRoute({
    operation: keyAgree,
    method: "POST",
    path: "/v1/keys/{name}/agree",
    summary: "Get the secret that the key and a peer's public key share, derived into a key",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      peer_public_key_b64: base64Text,
      kdf: z.enum(["hkdf-sha-256", "none"]).default("hkdf-sha-256"),
      salt_b64: base64Text.optional(),
      ...textOrBase64("info"),
      bytes: z.int().min(DERIVED_BYTES_MIN).max(DERIVED_BYTES_MAX).optional(),
      version,
    }),
    response: z.strictObject({ shared_secret_b64: base64Text, version: versionNumber }),
    input: ({ params, body }) => ({
      name: params.name,
      peer: base64Bytes("peer_public_key_b64", body.peer_public_key_b64, PEER_KEY_BYTES_MAX),
      derivation: derivationOf(body),
      version: body.version,
    }),
    output: ({ sharedSecret, version: used }) => ({
      shared_secret_b64: sharedSecret.toString("base64"),
      version: used,
    }),
  }),
  nativeRoute({
    operation: randomGenerate,
    method: "POST",
    path: "/v1/random",
    summary: "Get random bytes",
    status: 200,
    body: z.strictObject({ bytes: z.int().min(1).max(RANDOM_BYTES_MAX).default(32) }),
    response: z.strictObject({ random_b64: base64Text }),
    input: ({ body }) => body,
    output: (bytes) => ({ random_b64: bytes.toString("base64") }),
  }),
];

interface DerivationFields {
  readonly kdf: "hkdf-sha-256" | "none";
  readonly salt_b64?: string | undefined;
  readonly info?: string | undefined;
  readonly info_b64?: string | undefined;
  readonly bytes?: number | undefined;
}

function derivationOf(body: DerivationFields): Derivation | undefined {
  const { kdf, bytes, salt_b64: salt } = body;
  const info = bytesOf("info", body.info, body.info_b64, INFO_BYTES_MAX);
  if (kdf === "none") {
    if (salt === undefined && info === undefined && bytes === undefined) return undefined;
    throw new KeysteadError("invalid_body", {
      field: "kdf",
      detail: "salt_b64, info and bytes are for a derivation",
    });
  }
  return {
    salt: salt === undefined ? Buffer.alloc(0) : base64Bytes("salt_b64", salt, SALT_BYTES_MAX),
    info: info ?? Buffer.alloc(0),
    bytes: bytes ?? DERIVED_BYTES,
  };
}
