/** The native API's routes that encrypt and decrypt one value, and that make data keys. */
import { z } from "zod";
import type { Encrypted } from "../../keyring/cipher-use.ts";
import { VERSION_BYTES } from "../../keyring/cipher-use.ts";
import { keyDecrypt, keyEncrypt, keyGenerateDataKey, keyReencrypt } from "../../service/cipher-operations.ts";
import {
  AAD_BYTES_MAX,
  base64Bytes,
  base64Text,
  bytesOf,
  CIPHERTEXT_BYTES_MAX,
  namedParams,
  PAYLOAD_BODY_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  requiredBytesOf,
  resourceName,
  textAndBase64,
  textOrBase64,
  versionNumber,
} from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

export const cipherRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: keyEncrypt,
    method: "POST",
    path: "/v1/encrypt/{name}",
    alsoAt: ["/v1/keys/{name}/encrypt"],
    summary: "Encrypt under a key's latest version",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      ...textOrBase64("plaintext"),
      ...textOrBase64("aad"),
      version: versionNumber.optional(),
    }),
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
      version: body.version,
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
    operation: keyReencrypt,
    method: "POST",
    path: "/v1/keys/{name}/reencrypt",
    summary: "Encrypt anew, under another version or key, without the plaintext leaving",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      ciphertext: base64Text,
      ...textOrBase64("aad"),
      to_key: resourceName.optional(),
      to_version: versionNumber.optional(),
      ...textOrBase64("to_aad"),
    }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ ciphertext: base64Text, version: versionNumber }),
    input({ params, body }) {
      const aad = bytesOf("aad", body.aad, body.aad_b64, AAD_BYTES_MAX);
      return {
        name: params.name,
        ciphertext: base64Bytes("ciphertext", body.ciphertext, CIPHERTEXT_BYTES_MAX),
        aad,
        to: {
          key: body.to_key,
          version: body.to_version,
          // The context stays unless another is given.
          aad: bytesOf("to_aad", body.to_aad, body.to_aad_b64, AAD_BYTES_MAX) ?? aad,
        },
      };
    },
    output: shownCiphertext,
  }),
  nativeRoute({
    operation: keyGenerateDataKey,
    method: "POST",
    path: "/v1/keys/{name}/data-key",
    summary: "Make a data key: the key itself, and its form encrypted under this one",
    status: 200,
    params: namedParams,
    body: z.strictObject({
      bytes: z.union([z.literal(16), z.literal(32), z.literal(64)], "16, 32 or 64").default(32),
      ...textOrBase64("aad"),
      plaintext: z.boolean().default(true),
    }),
    response: z.strictObject({
      plaintext_b64: base64Text.optional(),
      ciphertext: base64Text,
      version: versionNumber,
    }),
    input: ({ params, body }) => ({
      name: params.name,
      bytes: body.bytes,
      aad: bytesOf("aad", body.aad, body.aad_b64, AAD_BYTES_MAX),
      withPlaintext: body.plaintext,
    }),
    output: (dataKey) => ({
      ...(dataKey.plaintext === undefined ? {} : { plaintext_b64: dataKey.plaintext.toString("base64") }),
      ...shownCiphertext(dataKey),
    }),
  }),
];

function shownCiphertext({ ciphertext, version }: Encrypted): { ciphertext: string; version: number } {
  return { ciphertext: ciphertext.toString("base64"), version };
}
