/** The native API's routes for signatures, MACs, key encapsulation and random bytes. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import {
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
