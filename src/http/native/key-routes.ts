/** The native API's routes for keys and their use. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { keyTypes } from "../../crypto/catalogue.ts";
import type { ImportedKey } from "../../crypto/material.ts";
import { KeysteadError } from "../../errors.ts";
import { VERSION_BYTES, type Signed } from "../../keyring/key-use.ts";
import { latestVersion, type Key } from "../../keyring/key.ts";
import {
  keyCreate,
  keyDecrypt,
  keyEncrypt,
  keyExport,
  keyGet,
  keyImport,
  keyList,
  keyRevoke,
  keyRotate,
  keySign,
  keyVerify,
} from "../../service/key-operations.ts";
import {
  AAD_BYTES_MAX,
  base64Bytes,
  base64Text,
  bytesOf,
  CIPHERTEXT_BYTES_MAX,
  namedParams,
  pageQuery,
  PAYLOAD_BODY_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  requiredBytesOf,
  resourceName,
  textAndBase64,
  textOrBase64,
  time,
  uuid,
  versionNumber,
  versionText,
} from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const DIGEST_BYTES = 32;
const SIGNATURE_BYTES_MAX = 8192;
const MATERIAL_BYTES_MAX = 16 * 1024;

const keyType = z.enum(keyTypes);
const noFields = z.strictObject({});

const keyAnswer = z.strictObject({
  id: uuid,
  name: resourceName,
  type: keyType,
  state: z.enum(["enabled", "revoked"]),
  exportable: z.boolean(),
  public_only: z.boolean(),
  created_at: time,
  latest_version: versionNumber,
  versions: z.array(z.strictObject({ version: versionNumber, created_at: time })),
  revoked_at: time.optional(),
});

const signedFields = z.strictObject({ digest_b64: base64Text.optional(), ...textOrBase64("message") });
const importFormats = ["raw", "pkcs8", "spki", "jwk"] as const;

export const keyRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: keyCreate,
    method: "POST",
    path: "/v1/keys",
    summary: "Create a key",
    status: 201,
    body: z.strictObject({
      name: resourceName,
      type: keyType.default("aes-256"),
      exportable: z.boolean().optional(),
    }),
    response: keyAnswer,
    input: ({ body }) => ({ name: body.name, type: body.type, exportable: body.exportable }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyImport,
    method: "POST",
    path: "/v1/keys/{name}/import",
    summary: "Create a key from given material",
    status: 201,
    params: namedParams,
    body: z.strictObject({
      type: keyType,
      format: z.enum(importFormats),
      material_b64: base64Text.optional(),
      jwk: z.record(z.string(), z.unknown()).optional(),
      exportable: z.boolean().optional(),
    }),
    response: keyAnswer,
    input: ({ params, body }) => ({
      name: params.name,
      type: body.type,
      exportable: body.exportable,
      imported: importedKey(body.format, body.material_b64, body.jwk),
    }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyList,
    method: "GET",
    path: "/v1/keys",
    summary: "List the project's keys",
    status: 200,
    query: pageQuery,
    response: z.strictObject({ keys: z.array(keyAnswer), next_cursor: z.string().optional() }),
    input: ({ query }) => ({ limit: query.limit, cursor: query.cursor }),
    output: (page) => ({ keys: page.items.map(shownKey), next_cursor: page.nextCursor }),
  }),
  nativeRoute({
    operation: keyGet,
    method: "GET",
    path: "/v1/keys/{name}",
    summary: "Get a key's metadata",
    status: 200,
    params: namedParams,
    response: keyAnswer,
    input: ({ params }) => params,
    output: shownKey,
  }),
  nativeRoute({
    operation: keyRotate,
    method: "POST",
    path: "/v1/keys/{name}/rotate",
    summary: "Add a version with fresh material",
    status: 200,
    params: namedParams,
    body: noFields,
    response: keyAnswer,
    input: ({ params }) => params,
    output: shownKey,
  }),
  nativeRoute({
    operation: keyRevoke,
    method: "POST",
    path: "/v1/keys/{name}/revoke",
    summary: "Refuse every use of a key from now on",
    status: 200,
    params: namedParams,
    body: noFields,
    response: z.strictObject({ status: z.literal("revoked"), name: resourceName, revoked_at: time }),
    input: ({ params }) => params,
    output: (key) => ({ status: "revoked", name: key.name, revoked_at: key.revokedAt }),
  }),
  nativeRoute({
    operation: keyEncrypt,
    method: "POST",
    path: "/v1/encrypt/{name}",
    alsoAt: ["/v1/keys/{name}/encrypt"],
    summary: "Encrypt under a key's latest version",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ...textOrBase64("plaintext"), ...textOrBase64("aad") }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({
      ciphertext: base64Text,
      version: versionNumber,
      nonce_b64: base64Text,
      data_b64: base64Text,
    }),
    input: ({ params, body }) => ({
      name: params.name,
      plaintext: requiredBytesOf("plaintext", body.plaintext, body.plaintext_b64, PAYLOAD_BYTES_MAX),
      aad: bytesOf("aad", body.aad, body.aad_b64, AAD_BYTES_MAX),
    }),
    output({ ciphertext, version, nonceBytes }) {
      const dataStart = VERSION_BYTES + nonceBytes;
      return {
        ciphertext: ciphertext.toString("base64"),
        version,
        nonce_b64: ciphertext.toString("base64", VERSION_BYTES, dataStart),
        data_b64: ciphertext.toString("base64", dataStart),
      };
    },
    // Base64 and numbers need no escape.
    outputText({ ciphertext, version, nonceBytes }) {
      const dataStart = VERSION_BYTES + nonceBytes;
      const nonce = ciphertext.toString("base64", VERSION_BYTES, dataStart);
      return `{"ciphertext":"${ciphertext.toString("base64")}","version":${version},"nonce_b64":"${nonce}","data_b64":"${ciphertext.toString("base64", dataStart)}"}`;
    },
  }),
  nativeRoute({
    operation: keyDecrypt,
    method: "POST",
    path: "/v1/decrypt/{name}",
    alsoAt: ["/v1/keys/{name}/decrypt"],
    summary: "Decrypt what any version of a key encrypted",
    status: 200,
    params: namedParams,
    body: z.strictObject({ ciphertext: base64Text, ...textOrBase64("aad") }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({
      plaintext_b64: base64Text,
      plaintext: z.string().optional(),
      version: versionNumber,
    }),
    input: ({ params, body }) => ({
      name: params.name,
      ciphertext: base64Bytes("ciphertext", body.ciphertext, CIPHERTEXT_BYTES_MAX),
      aad: bytesOf("aad", body.aad, body.aad_b64, AAD_BYTES_MAX),
    }),
    output: ({ plaintext, version }) => ({ ...textAndBase64("plaintext", plaintext), version }),
  }),
  nativeRoute({
    operation: keySign,
    method: "POST",
    path: "/v1/keys/{name}/sign",
    summary: "Sign a message or its SHA-256 digest",
    status: 200,
    params: namedParams,
    body: signedFields,
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ signature_b64: base64Text, version: versionNumber }),
    input: ({ params, body }) => ({ name: params.name, signed: signedOf(body) }),
    output: ({ signature, version }) => ({
      signature_b64: Buffer.from(signature).toString("base64"),
      version,
    }),
  }),
  nativeRoute({
    operation: keyVerify,
    method: "POST",
    path: "/v1/keys/{name}/verify",
    summary: "Verify a signature over a message or its SHA-256 digest",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      ...signedFields.shape,
      signature_b64: base64Text,
      version: versionNumber.optional(),
    }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ valid: z.boolean(), version: versionNumber.optional() }),
    input: ({ params, body }) => ({
      name: params.name,
      signed: signedOf(body),
      signature: base64Bytes("signature_b64", body.signature_b64, SIGNATURE_BYTES_MAX),
      version: body.version,
    }),
    output: ({ valid, version }) => (valid ? { valid, version } : { valid }),
  }),
  nativeRoute({
    operation: keyExport,
    method: "GET",
    path: "/v1/export/{name}",
    summary: "Fetch an exportable key's raw material (service tokens with kms:export_key only)",
    status: 200,
    params: namedParams,
    query: z.strictObject({ version: versionText.optional() }),
    response: z.strictObject({ key_material_b64: base64Text, algorithm: z.string(), version: versionNumber }),
    internalOnly: true,
    input: ({ params, query }) => ({ name: params.name, version: query.version }),
    output: ({ exportedMaterial, algorithm, version }) => ({
      key_material_b64: Buffer.from(exportedMaterial).toString("base64"),
      algorithm,
      version,
    }),
  }),
];

function shownKey(key: Key): z.input<typeof keyAnswer> {
  return {
    id: key.id,
    name: key.name,
    type: key.type,
    state: key.state,
    exportable: key.exportable,
    public_only: key.publicOnly,
    created_at: key.createdAt,
    latest_version: latestVersion(key),
    versions: key.versions.map(({ version, createdAt }) => ({ version, created_at: createdAt })),
    revoked_at: key.revokedAt,
  };
}

function signedOf(body: z.output<typeof signedFields>): Signed {
  const message = bytesOf("message", body.message, body.message_b64, PAYLOAD_BYTES_MAX);
  if ((message === undefined) === (body.digest_b64 === undefined)) {
    throw new KeysteadError("invalid_body", { detail: "give one of digest_b64, message and message_b64" });
  }
  if (message !== undefined) return { message };
  const digest = base64Bytes("digest_b64", body.digest_b64 ?? "", DIGEST_BYTES);
  if (digest.length !== DIGEST_BYTES) {
    throw new KeysteadError("invalid_body", { field: "digest_b64", detail: "a SHA-256 digest has 32 bytes" });
  }
  return { digest };
}

function importedKey(
  format: (typeof importFormats)[number],
  material: string | undefined,
  jwk: Record<string, unknown> | undefined,
): ImportedKey {
  if (format === "jwk") {
    if (jwk === undefined || material !== undefined) {
      throw new KeysteadError("invalid_body", {
        field: "jwk",
        detail: "format jwk takes jwk and no material_b64",
      });
    }
    return { format, jwk };
  }
  if (material === undefined || jwk !== undefined) {
    throw new KeysteadError("invalid_body", {
      field: "material_b64",
      detail: "this format takes material_b64 and no jwk",
    });
  }
  return { format, bytes: base64Bytes("material_b64", material, MATERIAL_BYTES_MAX) };
}
