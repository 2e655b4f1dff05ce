/** The native API's routes for secrets. */
import { z } from "zod";
import { secretDelete, secretGet, secretList, secretPut } from "../../service/secret-operations.ts";
import {
  base64Text,
  namedParams,
  pageQuery,
  PAYLOAD_BODY_BYTES_MAX,
  PAYLOAD_BYTES_MAX,
  requiredBytesOf,
  resourceName,
  textAndBase64,
  textOrBase64,
  time,
  versionNumber,
  versionText,
} from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

export const secretRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: secretPut,
    method: "POST",
    path: "/v1/secrets",
    summary: "Store a secret, or a new version of it",
    status: 201,
    body: z.strictObject({ name: resourceName, ...textOrBase64("value") }),
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    response: z.strictObject({ name: resourceName, created_at: time, version: versionNumber }),
    input: ({ body }) => ({
      name: body.name,
      value: requiredBytesOf("value", body.value, body.value_b64, PAYLOAD_BYTES_MAX),
    }),
    output: (secret) => ({ name: secret.name, created_at: secret.updatedAt, version: secret.latestVersion }),
  }),
  nativeRoute({
    operation: secretGet,
    method: "GET",
    path: "/v1/secrets/{name}",
    summary: "Get a secret's value, the latest or a given version",
    status: 200,
    params: namedParams,
    query: z.strictObject({ version: versionText.optional() }),
    response: z.strictObject({
      name: resourceName,
      created_at: time,
      version: versionNumber,
      value_b64: base64Text,
      value: z.string().optional(),
    }),
    input: ({ params, query }) => ({ name: params.name, version: query.version }),
    output: ({ name, createdAt, version, value }) => ({
      name,
      created_at: createdAt,
      version,
      ...textAndBase64("value", value),
    }),
  }),
  nativeRoute({
    operation: secretList,
    method: "GET",
    path: "/v1/secrets",
    summary: "List the names of the project's secrets",
    status: 200,
    query: pageQuery,
    response: z.strictObject({
      secrets: z.array(
        z.strictObject({
          name: resourceName,
          created_at: time,
          updated_at: time,
          latest_version: versionNumber,
        }),
      ),
      next_cursor: z.string().optional(),
    }),
    input: ({ query }) => ({ limit: query.limit, cursor: query.cursor }),
    output: (page) => ({
      secrets: page.items.map(({ name, createdAt, updatedAt, latestVersion }) => ({
        name,
        created_at: createdAt,
        updated_at: updatedAt,
        latest_version: latestVersion,
      })),
      next_cursor: page.nextCursor,
    }),
  }),
  nativeRoute({
    operation: secretDelete,
    method: "DELETE",
    path: "/v1/secrets/{name}",
    summary: "Delete a secret with all its versions",
    status: 204,
    params: namedParams,
    input: ({ params }) => params,
    output: () => undefined,
  }),
];
