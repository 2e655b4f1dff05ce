/** The native API's routes for keys themselves. */
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import { DELETION_DAYS_MAX, DELETION_DAYS_MIN, type KeyUpdate } from "../../keyring/lifecycle.ts";
import {
  keyCancelDeletion,
  keyCreate,
  keyDisable,
  keyEnable,
  keyGet,
  keyList,
  keyRevoke,
  keyRotate,
  keyScheduleDeletion,
  keyUpdate,
} from "../../service/key-operations.ts";
import { namedParams, pageQuery, resourceName, time, versionNumber } from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";
import {
  description,
  keyAnswer,
  keyProvider,
  keyPurpose,
  keyState,
  keyType,
  labelName,
  labels,
  labelValue,
  rotationPeriodDays,
  shownKey,
} from "./shown-key.ts";

const noFields = z.strictObject({});
const oneVersion = z.strictObject({ version: versionNumber.optional() });
export const deletionDays = z.int().min(DELETION_DAYS_MIN).max(DELETION_DAYS_MAX).default(DELETION_DAYS_MAX);

const updateFields = z.strictObject({
  description: description.nullable().optional(),
  labels: labels.optional(),
  min_encryption_version: versionNumber.optional(),
  min_decryption_version: versionNumber.optional(),
  rotation_period_days: rotationPeriodDays.nullable().optional(),
  exportable: z.boolean().optional(),
});

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
      purpose: keyPurpose.optional(),
      provider: keyProvider.optional(),
      exportable: z.boolean().optional(),
      description: description.optional(),
      labels: labels.optional(),
      rotation_period_days: rotationPeriodDays.optional(),
    }),
    response: keyAnswer,
    input: ({ body }) => ({
      name: body.name,
      type: body.type,
      purpose: body.purpose,
      provider: body.provider,
      exportable: body.exportable,
      description: body.description,
      labels: body.labels,
      rotationPeriodDays: body.rotation_period_days,
    }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyList,
    method: "GET",
    path: "/v1/keys",
    summary: "List the project's keys",
    status: 200,
    query: z.strictObject({
      ...pageQuery.shape,
      state: keyState.optional(),
      type: keyType.optional(),
      purpose: keyPurpose.optional(),
      prefix: resourceName.optional(),
      labels: z
        .string()
        .max(1024)
        .optional()
        .meta({ examples: ["team:payments,env"] }),
    }),
    response: z.strictObject({ keys: z.array(keyAnswer), next_cursor: z.string().optional() }),
    input: ({ query }) => ({
      limit: query.limit,
      cursor: query.cursor,
      state: query.state,
      type: query.type,
      purpose: query.purpose,
      namePrefix: query.prefix,
      labels: labelsAsked(query.labels),
    }),
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
    operation: keyUpdate,
    method: "PATCH",
    path: "/v1/keys/{name}",
    summary: "Change a key's description, labels, oldest usable versions, rotation period; clear exportable",
    status: 200,
    params: namedParams,
    body: updateFields,
    response: keyAnswer,
    input: ({ params, body }) => ({ name: params.name, update: updateOf(body) }),
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
    operation: keyEnable,
    method: "POST",
    path: "/v1/keys/{name}/enable",
    summary: "Allow uses of a key, or of one version, again",
    status: 200,
    params: namedParams,
    body: oneVersion,
    response: keyAnswer,
    input: ({ params, body }) => ({ name: params.name, version: body.version }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyDisable,
    method: "POST",
    path: "/v1/keys/{name}/disable",
    summary: "Refuse uses of a key, or of one version, until it is enabled again",
    status: 200,
    params: namedParams,
    body: oneVersion,
    response: keyAnswer,
    input: ({ params, body }) => ({ name: params.name, version: body.version }),
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
    output: (key) => ({ status: "revoked", name: key.nameBefore ?? key.name, revoked_at: key.revokedAt }),
  }),
  nativeRoute({
    operation: keyScheduleDeletion,
    method: "POST",
    path: "/v1/keys/{name}/schedule-deletion",
    summary: "Refuse every use of a key, and destroy it in 7 to 30 days",
    status: 200,
    params: namedParams,
    body: z.strictObject({ days: deletionDays }),
    response: keyAnswer,
    input: ({ params, body }) => ({ name: params.name, days: body.days }),
    output: shownKey,
  }),
  nativeRoute({
    operation: keyCancelDeletion,
    method: "POST",
    path: "/v1/keys/{name}/cancel-deletion",
    summary: "Keep a key that was to be deleted, in the state that it had before",
    status: 200,
    params: namedParams,
    body: noFields,
    response: keyAnswer,
    input: ({ params }) => params,
    output: shownKey,
  }),
];

function updateOf(body: z.output<typeof updateFields>): KeyUpdate {
  const { description: text, labels: all, exportable } = body;
  const encryption = body.min_encryption_version;
  const decryption = body.min_decryption_version;
  const days = body.rotation_period_days;
  return {
    ...(text === undefined ? {} : { description: text }),
    ...(all === undefined ? {} : { labels: all }),
    ...(encryption === undefined ? {} : { minEncryptionVersion: encryption }),
    ...(decryption === undefined ? {} : { minDecryptionVersion: decryption }),
    ...(days === undefined ? {} : { rotationPeriodDays: days }),
    ...(exportable === undefined ? {} : { exportable }),
  };
}

/** `name:value` asks for a label with this value, `name` alone for the label; a comma between two. */
function labelsAsked(text: string | undefined): ReadonlyMap<string, string> {
  const asked = new Map<string, string>();
  if (text === undefined) return asked;
  for (const part of text.split(",")) {
    const colon = part.indexOf(":");
    const name = colon === -1 ? part : part.slice(0, colon);
    const value = colon === -1 ? "" : part.slice(colon + 1);
    if (!labelName.safeParse(name).success || !labelValue.safeParse(value).success) {
      throw new KeysteadError("invalid_body", {
        field: "labels",
        detail: "name:value, or name, between commas",
      });
    }
    asked.set(name, value);
  }
  return asked;
}
