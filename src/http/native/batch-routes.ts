/** The native API's routes for many uses of one key in one call. */
import { Buffer } from "node:buffer";
import { z } from "zod";
import type { Ciphertext, Decrypted, Encrypted, Plaintext } from "../../keyring/cipher-use.ts";
import type { SignatureOptions } from "../../crypto/signing-key.ts";
import { KeysteadError } from "../../errors.ts";
import {
  BATCH_ITEMS_MAX,
  keyDecryptBatch,
  keyEncryptBatch,
  keyMacBatch,
  keyReencryptBatch,
  keySignBatch,
  keyVerifyBatch,
  keyVerifyMacBatch,
  type BatchInput,
  type BatchResult,
} from "../../service/batch-operations.ts";
import type { ProjectOperation } from "../../service/operation.ts";
import { binaryBatch, type BinaryBatch } from "./binary-batch.ts";
import {
  AAD_BYTES_MAX,
  base64Bytes,
  base64Text,
  bytesOf,
  CIPHERTEXT_BYTES_MAX,
  namedParams,
  PAYLOAD_BYTES_MAX,
  requiredBytesOf,
  resourceName,
  textOrBase64,
  versionNumber,
} from "./fields.ts";
import { jsonBatch, parseBatchBody, type BatchBody, type ItemFields, type JsonBatch } from "./json-batch.ts";
import { nativeRoute, parseWith, type AnyNativeRoute, type BinaryForm } from "./native-route.ts";
import {
  MAC_BYTES_MAX,
  optionFields,
  optionsOf,
  SIGNATURE_BYTES_MAX,
  signedFields,
  signedOf,
} from "./signed-fields.ts";

type Params = z.output<typeof namedParams>;

interface BatchRow<I, O> {
  readonly operation: ProjectOperation<BatchInput<I, O>, BatchResult>;
  readonly path: string;
  readonly summary: string;
  /** An item's schema, for the API's description; `read` holds items to it. */
  readonly item: z.ZodObject;
  readonly result: z.ZodObject;
  readonly read: (fields: ItemFields) => I;
  readonly render: (result: O) => string;
  readonly binary?: BinaryForm<Params, BatchInput<I, O>, BatchResult>;
}

const BATCH_BODY_BYTES_MAX = 8 * 1024 * 1024;

const itemError = z.strictObject({ error: z.strictObject({ code: z.string(), title: z.string() }) });
const aad = textOrBase64("aad");
const version = versionNumber.optional();
const verdict = z.strictObject({ valid: z.boolean(), version: versionNumber.optional() });

export const batchRoutes: readonly AnyNativeRoute[] = [
  batchRoute<Plaintext, Encrypted>({
    operation: keyEncryptBatch,
    path: "/v1/keys/{name}/encrypt/batch",
    summary: "Encrypt many values",
    item: z.strictObject({ ...textOrBase64("plaintext"), ...aad }),
    result: z.strictObject({ ciphertext: base64Text, version: versionNumber }),
    read: (item) => ({
      plaintext: requiredBytesOf("plaintext", item["plaintext"], item["plaintext_b64"], PAYLOAD_BYTES_MAX),
      aad: aadOf(item),
    }),
    render: ({ ciphertext, version: used }) =>
      `{"ciphertext":"${ciphertext.toString("base64")}","version":${used}}`,
    binary: {
      request: "contexts and plaintexts",
      answer: "ciphertexts",
      input: ({ params, bytes }) =>
        binaryBatch<Plaintext, Encrypted>(params.name, bytes, {
          dataBytesMax: PAYLOAD_BYTES_MAX,
          read: ({ aad: context, data }) => ({ plaintext: data, aad: context }),
          result: ({ ciphertext }) => ciphertext,
        }),
      output: (_result, input) => (input as BinaryBatch<Plaintext, Encrypted>).answer(),
    },
  }),
  batchRoute<Ciphertext, Decrypted>({
    operation: keyDecryptBatch,
    path: "/v1/keys/{name}/decrypt/batch",
    summary: "Decrypt many values",
    item: z.strictObject({ ciphertext: base64Text, ...aad }),
    result: z.strictObject({ plaintext_b64: base64Text, version: versionNumber }),
    read: (item) => ({ ciphertext: ciphertextOf(item), aad: aadOf(item) }),
    render: ({ plaintext, version: used }) =>
      `{"plaintext_b64":"${plaintext.toString("base64")}","version":${used}}`,
    binary: {
      request: "contexts and ciphertexts",
      answer: "plaintexts",
      input: ({ params, bytes }) =>
        binaryBatch<Ciphertext, Decrypted>(params.name, bytes, {
          dataBytesMax: CIPHERTEXT_BYTES_MAX,
          read: ({ aad: context, data }) => ({ ciphertext: data, aad: context }),
          result: ({ plaintext }) => plaintext,
        }),
      output: (_result, input) => (input as BinaryBatch<Ciphertext, Decrypted>).answer(),
    },
  }),
  reencryptRoute(),
  batchRoute({
    operation: keySignBatch,
    path: "/v1/keys/{name}/sign/batch",
    summary: "Sign many messages or digests",
    item: z.strictObject({ ...signedFields, ...optionFields }),
    result: z.strictObject({ signature_b64: base64Text, version: versionNumber }),
    read: (item) => ({ signed: signedOf(signedFieldsOf(item)), options: itemOptions(item) }),
    render: ({ signature, version: used }) =>
      `{"signature_b64":"${Buffer.from(signature).toString("base64")}","version":${used}}`,
  }),
  batchRoute({
    operation: keyVerifyBatch,
    path: "/v1/keys/{name}/verify/batch",
    summary: "Verify many signatures",
    item: z.strictObject({ ...signedFields, ...optionFields, signature_b64: base64Text, version }),
    result: verdict,
    read: (item) => ({
      signed: signedOf(signedFieldsOf(item)),
      options: itemOptions(item),
      signature: base64Bytes("signature_b64", required(item, "signature_b64"), SIGNATURE_BYTES_MAX),
      version: item.version,
    }),
    render: renderVerdict,
  }),
  batchRoute({
    operation: keyMacBatch,
    path: "/v1/keys/{name}/mac/batch",
    summary: "Make many message authentication codes",
    item: z.strictObject(textOrBase64("message")),
    result: z.strictObject({ mac_b64: base64Text, version: versionNumber }),
    read: (item) => ({ message: messageOf(item) }),
    render: ({ mac, version: used }) => `{"mac_b64":"${mac.toString("base64")}","version":${used}}`,
  }),
  batchRoute({
    operation: keyVerifyMacBatch,
    path: "/v1/keys/{name}/verify-mac/batch",
    summary: "Verify many message authentication codes",
    item: z.strictObject({ ...textOrBase64("message"), mac_b64: base64Text, version }),
    result: verdict,
    read: (item) => ({
      message: messageOf(item),
      mac: base64Bytes("mac_b64", required(item, "mac_b64"), MAC_BYTES_MAX),
      version: item.version,
    }),
    render: renderVerdict,
  }),
];

function batchRoute<I, O>(row: BatchRow<I, O>): AnyNativeRoute {
  const fields = new Set(Object.keys(row.item.shape));
  return nativeRoute<Params, unknown, BatchBody, BatchInput<I, O>, BatchResult>({
    operation: row.operation,
    method: "POST",
    path: row.path,
    summary: row.summary,
    status: 200,
    params: namedParams,
    body: z.strictObject({ items: itemsOf(row.item) }) as unknown as z.ZodType<BatchBody>,
    parseBody: (value) => parseBatchBody(value, fields),
    bodyBytesMax: BATCH_BODY_BYTES_MAX,
    response: answerOf(row.result),
    input: ({ params, body }) =>
      jsonBatch<I, O>(params.name, body.items, { read: row.read, render: row.render }),
    output: (result, input) => JSON.parse((input as JsonBatch<I, O>).answer(result)) as unknown,
    outputText: (result, input) => (input as JsonBatch<I, O>).answer(result),
    ...(row.binary === undefined ? {} : { binary: row.binary }),
  });
}

function reencryptRoute(): AnyNativeRoute {
  const item = z.strictObject({ ciphertext: base64Text, ...aad, ...textOrBase64("to_aad") });
  const fields = new Set(Object.keys(item.shape));
  const target = z.strictObject({ to_key: resourceName.optional(), to_version: version });
  type Item = Ciphertext & { readonly to: { readonly aad: Uint8Array | undefined } };
  return nativeRoute({
    operation: keyReencryptBatch,
    method: "POST",
    path: "/v1/keys/{name}/reencrypt/batch",
    summary: "Encrypt many values anew, under another version or key",
    status: 200,
    params: namedParams,
    body: z.strictObject({ items: itemsOf(item), ...target.shape }),
    parseBody(value) {
      const { items, ...rest } = parseBatchBody(value, fields, Object.keys(target.shape));
      return { items: items as unknown as z.output<typeof item>[], ...parseWith(target, rest) };
    },
    bodyBytesMax: BATCH_BODY_BYTES_MAX,
    response: answerOf(z.strictObject({ ciphertext: base64Text, version: versionNumber })),
    input({ params, body }) {
      const batch = jsonBatch<Item, Encrypted>(params.name, body.items, {
        read(one) {
          const context = aadOf(one);
          const next = bytesOf("to_aad", one["to_aad"], one["to_aad_b64"], AAD_BYTES_MAX) ?? context;
          return { ciphertext: ciphertextOf(one), aad: context, to: { aad: next } };
        },
        render: ({ ciphertext, version: used }) =>
          `{"ciphertext":"${ciphertext.toString("base64")}","version":${used}}`,
      });
      return Object.assign(batch, { to: { key: body.to_key, version: body.to_version } });
    },
    output: (result, input) =>
      JSON.parse((input as unknown as JsonBatch<Item, Encrypted>).answer(result)) as unknown,
    outputText: (result, input) => (input as unknown as JsonBatch<Item, Encrypted>).answer(result),
  });
}

function itemsOf<T extends z.ZodObject>(item: T): z.ZodArray<T> {
  return z.array(item).min(1).max(BATCH_ITEMS_MAX);
}

function answerOf(result: z.ZodObject): z.ZodObject {
  return z.strictObject({ results: z.array(z.union([result, itemError])), failed: z.int() });
}

function aadOf(item: ItemFields): Buffer | undefined {
  return bytesOf("aad", item["aad"], item["aad_b64"], AAD_BYTES_MAX);
}

function messageOf(item: ItemFields): Buffer {
  return requiredBytesOf("message", item["message"], item["message_b64"], PAYLOAD_BYTES_MAX);
}

function ciphertextOf(item: ItemFields): Buffer {
  return base64Bytes("ciphertext", required(item, "ciphertext"), CIPHERTEXT_BYTES_MAX);
}

function required(item: ItemFields, field: "ciphertext" | "signature_b64" | "mac_b64"): string {
  const text = item[field];
  if (text === undefined) throw new KeysteadError("invalid_body", { field, detail: "is needed" });
  return text;
}

function signedFieldsOf(item: ItemFields): Parameters<typeof signedOf>[0] {
  return { message: item["message"], message_b64: item["message_b64"], digest_b64: item["digest_b64"] };
}

function itemOptions(item: ItemFields): SignatureOptions {
  const given = z.object(optionFields).safeParse(item);
  if (!given.success) throw new KeysteadError("invalid_body", { field: "scheme", detail: "no such option" });
  return optionsOf(given.data);
}

function renderVerdict({ valid, version: used }: { valid: boolean; version: number }): string {
  return valid ? `{"valid":true,"version":${used}}` : '{"valid":false}';
}
