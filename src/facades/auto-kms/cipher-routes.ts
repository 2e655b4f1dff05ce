/** Auto KMS's uses of a key: encrypt, decrypt, wrap, unwrap, and rotate. The tag stands apart from the ciphertext. */
import { z } from "zod";
import { decodeBase64 } from "../../bytes.ts";
import { KeysteadError } from "../../errors.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import {
  keyDecryptDetached,
  keyEncryptDetached,
  type EncryptedDetached,
} from "../../service/detached-operations.ts";
import { keyRotate } from "../../service/key-operations.ts";
import { algorithm, algorithmOf, getKey, idParams, keyTypeOf, knownTypes } from "./resource.ts";

/** What the service takes natively. */
const PAYLOAD_BYTES_MAX = 512 * 1024;
const AAD_BYTES_MAX = 64 * 1024;
const BODY_BYTES_MAX = 4 * 1024 * 1024;

const base64 = z.string().meta({ contentEncoding: "base64" });
const version = z.int().min(1).max(0xffff_ffff);
const at = (action: string): { readonly path: string; readonly alsoAt: readonly string[] } => ({
  path: `/kms/Key/{id}/${action}`,
  alsoAt: [`/kms/key/{id}/${action}`],
});

const encryptedAnswer = z.strictObject({
  kid: z.uuid(),
  version,
  alg: algorithm,
  nonce_b64: base64.optional(),
  ciphertext_b64: base64,
  tag_b64: base64.optional(),
  aad_b64: base64.optional(),
});
const wrappedAnswer = encryptedAnswer
  .omit({ ciphertext_b64: true })
  .extend({ wrapped_key_b64: base64, nonce_b64: base64, tag_b64: base64 });

export const cipherRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    ...at("encrypt"),
    summary: "Encrypt under a key's primary version",
    operation: keyEncryptDetached,
    status: 200,
    params: idParams,
    body: z.strictObject({
      plaintext_b64: base64,
      aad_b64: base64.nullish(),
      nonce_b64: base64.nullish(),
      alg: algorithm.nullish(),
    }),
    bodyBytesMax: BODY_BYTES_MAX,
    response: encryptedAnswer,
    async serve(call, { params, body }) {
      const result = await call.perform(keyEncryptDetached, () => {
        assertOwnNonce(body.nonce_b64);
        return {
          name: params.id,
          types: knownTypes,
          expectedType: typeAsked(body.alg),
          wraps: false,
          plaintext: bytes("plaintext_b64", body.plaintext_b64, PAYLOAD_BYTES_MAX),
          aad: optionalBytes("aad_b64", body.aad_b64, AAD_BYTES_MAX),
        };
      });
      return shownParts("ciphertext_b64", result, body.aad_b64);
    },
  }),
  facadeRoute({
    method: "POST",
    ...at("decrypt"),
    summary: "Decrypt what a version of a key encrypted",
    operation: keyDecryptDetached,
    status: 200,
    params: idParams,
    body: z.strictObject({
      ciphertext_b64: base64,
      nonce_b64: base64.nullish(),
      tag_b64: base64.nullish(),
      aad_b64: base64.nullish(),
      alg: algorithm.nullish(),
      version: version.nullish(),
      kid: z.string().nullish(),
    }),
    bodyBytesMax: BODY_BYTES_MAX,
    response: z.strictObject({ plaintext_b64: base64 }),
    async serve(call, { params, body }) {
      const { plaintext } = await call.perform(keyDecryptDetached, () => ({
        name: params.id,
        types: knownTypes,
        expectedType: typeAsked(body.alg),
        wraps: false,
        data: bytes("ciphertext_b64", body.ciphertext_b64, PAYLOAD_BYTES_MAX),
        nonce: optionalBytes("nonce_b64", body.nonce_b64, AAD_BYTES_MAX),
        tag: optionalBytes("tag_b64", body.tag_b64, AAD_BYTES_MAX),
        aad: optionalBytes("aad_b64", body.aad_b64, AAD_BYTES_MAX),
        version: body.version ?? undefined,
      }));
      return { plaintext_b64: plaintext.toString("base64") };
    },
  }),
  facadeRoute({
    method: "POST",
    ...at("wrap"),
    summary: "Encrypt key material under a symmetric key",
    operation: keyEncryptDetached,
    status: 200,
    params: idParams,
    body: z.strictObject({
      key_material_b64: base64,
      aad_b64: base64.nullish(),
      nonce_b64: base64.nullish(),
      alg: algorithm.nullish(),
    }),
    bodyBytesMax: BODY_BYTES_MAX,
    response: wrappedAnswer,
    async serve(call, { params, body }) {
      const result = await call.perform(keyEncryptDetached, () => {
        assertOwnNonce(body.nonce_b64);
        return {
          name: params.id,
          types: knownTypes,
          expectedType: typeAsked(body.alg),
          wraps: true,
          plaintext: bytes("key_material_b64", body.key_material_b64, PAYLOAD_BYTES_MAX),
          aad: optionalBytes("aad_b64", body.aad_b64, AAD_BYTES_MAX),
        };
      });
      return shownParts("wrapped_key_b64", result, body.aad_b64);
    },
  }),
  facadeRoute({
    method: "POST",
    ...at("unwrap"),
    summary: "Decrypt wrapped key material",
    operation: keyDecryptDetached,
    status: 200,
    params: idParams,
    body: z.strictObject({
      wrapped_key_b64: base64,
      nonce_b64: base64,
      tag_b64: base64,
      aad_b64: base64.nullish(),
      alg: algorithm.nullish(),
      version: version.nullish(),
      kid: z.string().nullish(),
    }),
    bodyBytesMax: BODY_BYTES_MAX,
    response: z.strictObject({ key_material_b64: base64 }),
    async serve(call, { params, body }) {
      const { plaintext } = await call.perform(keyDecryptDetached, () => ({
        name: params.id,
        types: knownTypes,
        expectedType: typeAsked(body.alg),
        wraps: true,
        data: bytes("wrapped_key_b64", body.wrapped_key_b64, PAYLOAD_BYTES_MAX),
        nonce: bytes("nonce_b64", body.nonce_b64, AAD_BYTES_MAX),
        tag: bytes("tag_b64", body.tag_b64, AAD_BYTES_MAX),
        aad: optionalBytes("aad_b64", body.aad_b64, AAD_BYTES_MAX),
        version: body.version ?? undefined,
      }));
      return { key_material_b64: plaintext.toString("base64") };
    },
  }),
  facadeRoute({
    method: "POST",
    ...at("rotate"),
    summary: "Add a version with fresh material, which encrypts from then on",
    operation: keyRotate,
    status: 201,
    params: idParams,
    async serve(call, { params }) {
      await getKey(call, params.id);
      await call.perform(keyRotate, { name: params.id });
      return undefined;
    },
  }),
];

function shownParts(
  dataField: "ciphertext_b64" | "wrapped_key_b64",
  { keyId, type, version: made, nonce, data, tag }: EncryptedDetached,
  aad: string | null | undefined,
): Record<string, string | number> {
  return {
    kid: keyId,
    version: made,
    alg: algorithmOf(type),
    ...(nonce.length === 0 ? {} : { nonce_b64: nonce.toString("base64") }),
    [dataField]: data.toString("base64"),
    ...(tag.length === 0 ? {} : { tag_b64: tag.toString("base64") }),
    ...(aad === undefined || aad === null ? {} : { aad_b64: aad }),
  };
}

/** Nonces are drawn and counted here: one that came twice would give the plaintexts away. */
function assertOwnNonce(nonce: string | null | undefined): void {
  if (nonce === undefined || nonce === null) return;
  throw new KeysteadError("invalid_body", {
    field: "nonce_b64",
    detail: "nonce_b64 is not taken: nonces are drawn by the service",
  });
}

function typeAsked(
  alg: z.output<typeof algorithm> | null | undefined,
): ReturnType<typeof keyTypeOf> | undefined {
  return alg === undefined || alg === null ? undefined : keyTypeOf(alg);
}

function optionalBytes(
  field: string,
  text: string | null | undefined,
  bytesMax: number,
): Uint8Array | undefined {
  return text === undefined || text === null ? undefined : bytes(field, text, bytesMax);
}

/** Canonical base64. Throws `invalid_encoding`, `payload_too_large`. */
function bytes(field: string, text: string, bytesMax: number): Uint8Array {
  if (text.length > Math.ceil(bytesMax / 3) * 4) throw tooLarge(field);
  const decoded = decodeBase64(text);
  if (decoded === undefined) throw new KeysteadError("invalid_encoding", { field });
  if (decoded.length > bytesMax) throw tooLarge(field);
  return decoded;
}

function tooLarge(field: string): KeysteadError {
  return new KeysteadError("payload_too_large", { field });
}
