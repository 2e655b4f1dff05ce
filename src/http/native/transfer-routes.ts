/** The native API's routes for keys on their way in and out: import, export, public parts. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import type { ImportedKey } from "../../crypto/material.ts";
import { KeysteadError } from "../../errors.ts";
import type { ExportedKey, WrappedKey } from "../../keyring/key-transfer.ts";
import { keyExport, keyImport, keyPublic } from "../../service/key-operations.ts";
import { base64Bytes, base64Text, namedParams, resourceName, versionNumber, versionText } from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";
import {
  description,
  keyAnswer,
  keyProvider,
  keyPurpose,
  keyType,
  labels,
  rotationPeriodDays,
  shownKey,
} from "./shown-key.ts";

const MATERIAL_BYTES_MAX = 32 * 1024;
const keyFormat = z.enum(["raw", "pkcs8", "spki", "jwk"]);
const jwk = z.record(z.string(), z.unknown());

const importFields = z.strictObject({
  type: keyType,
  purpose: keyPurpose.optional(),
  provider: keyProvider.optional(),
  format: keyFormat,
  material_b64: base64Text.optional(),
  jwk: jwk.optional(),
  wrapped_material_b64: base64Text.optional(),
  wrapping_key: resourceName.optional(),
  exportable: z.boolean().optional(),
  description: description.optional(),
  labels: labels.optional(),
  rotation_period_days: rotationPeriodDays.optional(),
});

export const transferRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: keyImport,
    method: "POST",
    path: "/v1/keys/{name}/import",
    summary: "Create a key from given material, which may be wrapped under a key of this service",
    status: 201,
    params: namedParams,
    body: importFields,
    response: keyAnswer,
    input: ({ params, body }) => ({
      name: params.name,
      type: body.type,
      purpose: body.purpose,
      provider: body.provider,
      exportable: body.exportable,
      description: body.description,
      labels: body.labels,
      rotationPeriodDays: body.rotation_period_days,
      imported: importedKey(body),
    }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyPublic,
    method: "GET",
    path: "/v1/keys/{name}/public-key",
    summary: "Get the public part of an asymmetric key",
    status: 200,
    params: namedParams,
    query: z.strictObject({ version: versionText.optional() }),
    response: z.strictObject({
      version: versionNumber,
      public_key_pem: z.string().optional(),
      jwk: z.record(z.string(), z.string()),
    }),
    input: ({ params, query }) => ({ name: params.name, version: query.version }),
    output: ({ version, der, jwk: shown }) => ({
      version,
      public_key_pem: der === undefined ? undefined : pem(der),
      jwk: shown,
    }),
  }),
  nativeRoute({
    operation: keyExport,
    method: "POST",
    path: "/v1/keys/{name}/export",
    summary:
      "Fetch an exportable key's material in a format, wrapped if asked (services with kms:export_key only)",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      format: keyFormat.optional(),
      version: versionNumber.optional(),
      wrapping_key: resourceName.optional(),
      wrapping_public_key_b64: base64Text.optional(),
    }),
    response: z.strictObject({
      algorithm: z.string(),
      version: versionNumber,
      format: keyFormat,
      material_b64: base64Text.optional(),
      wrapped_material_b64: base64Text.optional(),
      jwk: jwk.optional(),
    }),
    internalOnly: true,
    input: ({ params, body }) => ({
      name: params.name,
      version: body.version,
      format: body.format,
      wrapping: wrappingOf(body.wrapping_key, body.wrapping_public_key_b64),
      cipherOnly: false,
    }),
    output: ({ algorithm, version, exportedMaterial, isWrapped }) => ({
      algorithm,
      version,
      format: exportedMaterial.format,
      ...(exportedMaterial.format === "jwk"
        ? { jwk: exportedMaterial.jwk }
        : { [isWrapped ? "wrapped_material_b64" : "material_b64"]: base64(exportedMaterial.bytes) }),
    }),
  }),
  nativeRoute({
    operation: keyExport,
    method: "GET",
    path: "/v1/export/{name}",
    summary: "Fetch an exportable cipher key's raw material (services with kms:export_key only)",
    status: 200,
    params: namedParams,
    query: z.strictObject({ version: versionText.optional() }),
    response: z.strictObject({ key_material_b64: base64Text, algorithm: z.string(), version: versionNumber }),
    internalOnly: true,
    input: ({ params, query }) => ({
      name: params.name,
      version: query.version,
      format: "raw" as const,
      wrapping: undefined,
      cipherOnly: true,
    }),
    output: ({ exportedMaterial, algorithm, version }) => ({
      key_material_b64: rawOf(exportedMaterial),
      algorithm,
      version,
    }),
  }),
];

function importedKey(body: z.output<typeof importFields>): ImportedKey | WrappedKey {
  const { format, wrapping_key: wrappedUnder } = body;
  const given = [body.material_b64, body.jwk, body.wrapped_material_b64].filter(
    (field) => field !== undefined,
  );
  if (given.length !== 1 || (wrappedUnder === undefined) !== (body.wrapped_material_b64 === undefined)) {
    throw invalid("give one of material_b64, jwk, and wrapped_material_b64 with wrapping_key");
  }
  if ((format === "jwk") !== (body.jwk !== undefined)) throw invalid("jwk comes with format jwk");
  if (body.jwk !== undefined) return { format: "jwk", jwk: body.jwk };
  if (format === "jwk") throw invalid("jwk comes with format jwk");
  if (wrappedUnder !== undefined && body.wrapped_material_b64 !== undefined) {
    const wrapped = base64Bytes("wrapped_material_b64", body.wrapped_material_b64, MATERIAL_BYTES_MAX);
    return { wrappedUnder, format, wrapped };
  }
  return { format, bytes: base64Bytes("material_b64", body.material_b64 ?? "", MATERIAL_BYTES_MAX) };
}

function wrappingOf(
  key: string | undefined,
  publicKey: string | undefined,
): { readonly key: string } | { readonly publicKeyDer: Uint8Array } | undefined {
  if (key !== undefined && publicKey !== undefined) {
    throw invalid("give wrapping_key or wrapping_public_key_b64, not both");
  }
  if (key !== undefined) return { key };
  if (publicKey === undefined) return undefined;
  return { publicKeyDer: base64Bytes("wrapping_public_key_b64", publicKey, MATERIAL_BYTES_MAX) };
}

function invalid(detail: string): KeysteadError {
  return new KeysteadError("invalid_body", { detail });
}

function rawOf(material: ExportedKey["exportedMaterial"]): string {
  return material.format === "jwk" ? "" : base64(material.bytes);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** PEM (RFC 7468 §13). */
function pem(der: Uint8Array): string {
  const lines = base64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
}
