/**
 * Mini KMS's keys: generate, show, name, delete, sign.
 * A `kid` names one version of a key, by the thumbprint of that version's public key; an alias names the version that the
 * `kid` named when it was given. Both keep naming that version after a rotation.
 */
import { Buffer } from "node:buffer";
import { z } from "zod";
import { decodeBase64Url } from "../../bytes.ts";
import { KeysteadError } from "../../errors.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { freshNameFor } from "../../service/key-handles.ts";
import { keyAddAlias, keyScheduleDeletion } from "../../service/key-operations.ts";
import {
  keyGeneratePublic,
  keyGetPublic,
  keyListPublic,
  keySignRaw,
  type PublicView,
} from "../../service/public-key-operations.ts";
import { inProfile } from "./profile.ts";
import { algorithm, keyAnswer, knownTypes, shownKey } from "./shown-key.ts";

const SCHEME = "mini-kms";
const DELETION_DAYS = 30;
const LIST_KEYS = 100;
const DATA_BYTES_MAX = 512 * 1024;
const BODY_BYTES_MAX = 1024 * 1024;

const alias = z
  .string()
  .min(1)
  .max(512)
  .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), "Input should hold no control characters")
  .meta({ examples: ["did:example:1234#key-1"] });
const kid = z.string().min(1).max(128);
const kidParams = z.strictObject({ kid });
const data = z
  .string()
  .max(Math.ceil(DATA_BYTES_MAX / 3) * 4)
  .regex(/^[A-Za-z0-9_-]*={0,2}$/, "Input should be base64url")
  .transform((text, context) => {
    const bytes = bytesOf(text);
    if (bytes !== undefined) return bytes;
    context.addIssue({ code: "custom", message: "Input should be base64url" });
    return z.NEVER;
  })
  .meta({ contentEncoding: "base64url", examples: ["aGVsbG8gd29ybGQ"] });

const noKey = (): never => {
  throw new KeysteadError("key_not_found");
};

export const keyRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: "/key/generate",
    summary: "Generate a key",
    operation: keyGeneratePublic,
    status: 200,
    body: z.strictObject({ alg: algorithm }),
    response: keyAnswer,
    serve: (call, { body }) =>
      inProfile(call, {
        operation: keyGeneratePublic,
        makes: true,
        async use(profile) {
          const view = await profile.perform(keyGeneratePublic, {
            name: freshNameFor(SCHEME),
            type: body.alg,
            purpose: undefined,
            exportable: false,
            description: undefined,
            labels: undefined,
            rotationPeriodDays: undefined,
          });
          return shownKey(view);
        },
      }),
  }),
  facadeRoute({
    method: "GET",
    path: "/key/{kid}",
    summary: "Get a key",
    operation: keyGetPublic,
    status: 200,
    params: kidParams,
    response: keyAnswer,
    serve: (call, { params }) =>
      inProfile(call, {
        operation: keyGetPublic,
        use: async (profile) => shownKey(await get(profile, params.kid)),
        absent: noKey,
      }),
  }),
  facadeRoute({
    method: "GET",
    path: "/key",
    summary: "Get the key of an alias",
    operation: keyGetPublic,
    status: 200,
    query: z.strictObject({ alias }),
    response: keyAnswer,
    serve: (call, { query }) =>
      inProfile(call, {
        operation: keyGetPublic,
        async use(profile) {
          const { id: name, version } = await profile.keyOfAlias(SCHEME, query.alias);
          return shownKey(await profile.perform(keyGetPublic, { name, version, types: knownTypes }));
        },
        absent: noKey,
      }),
  }),
  facadeRoute({
    method: "GET",
    path: "/keys",
    summary: "List keys, at most 100",
    operation: keyListPublic,
    status: 200,
    response: z.array(keyAnswer).max(LIST_KEYS),
    serve: (call) =>
      inProfile(call, {
        operation: keyListPublic,
        async use(profile) {
          const views = await profile.perform(keyListPublic, { types: knownTypes, limit: LIST_KEYS });
          return views.map(shownKey);
        },
        absent: () => [],
      }),
  }),
  facadeRoute({
    method: "POST",
    path: "/key/{kid}/associate",
    summary: "Give a key an alias",
    operation: keyAddAlias,
    status: 200,
    params: kidParams,
    body: z.strictObject({ alias }),
    response: z.strictObject({ alias: z.string(), kid: z.string() }),
    serve: (call, { params, body }) =>
      inProfile(call, {
        operation: keyAddAlias,
        async use(profile) {
          const view = await get(profile, params.kid);
          const version = view.jwk === undefined ? undefined : view.version;
          const given = { scheme: SCHEME, text: body.alias, isShown: false, version };
          await profile.perform(keyAddAlias, { name: view.id, alias: given });
          return { alias: body.alias, kid: view.kid };
        },
        absent: noKey,
      }),
  }),
  facadeRoute({
    method: "DELETE",
    path: "/key/{kid}",
    summary: "Delete a key: it is gone here at once, and destroyed in 30 days",
    operation: keyScheduleDeletion,
    status: 200,
    params: kidParams,
    response: z.strictObject({ message: z.literal("Key deleted"), kid: z.string() }),
    serve: (call, { params }) =>
      inProfile(call, {
        operation: keyScheduleDeletion,
        async use(profile) {
          const { id: name } = await profile.keyOfKid(params.kid);
          const input = { name, days: DELETION_DAYS, freesNames: true };
          // By its kid, which leads nowhere once the key is deleted.
          const view = await profile.findUnlessGone(
            () => get(profile, params.kid),
            keyScheduleDeletion,
            input,
            params,
          );
          if (view !== undefined) await profile.perform(keyScheduleDeletion, input, params);
          return { message: "Key deleted", kid: view?.kid ?? params.kid };
        },
        absent: noKey,
      }),
  }),
  facadeRoute({
    method: "POST",
    path: "/sign",
    summary: "Sign a message",
    operation: keySignRaw,
    status: 200,
    body: z.strictObject({ kid, data }),
    bodyBytesMax: BODY_BYTES_MAX,
    response: z.strictObject({ sig: z.string().meta({ contentEncoding: "base64url" }) }),
    serve: (call, { body }) =>
      inProfile(call, {
        operation: keySignRaw,
        async use(profile) {
          const { id: name, version } = await profile.keyOfKid(body.kid);
          const message = body.data;
          const signed = await profile.perform(keySignRaw, { name, version, types: knownTypes, message });
          return { sig: Buffer.from(signed.signature).toString("base64url") };
        },
        absent: noKey,
      }),
  }),
];

/** Rejects with `key_not_found`. */
async function get(profile: FacadeCall, asked: string): Promise<PublicView> {
  const { id: name, version } = await profile.keyOfKid(asked);
  return profile.perform(keyGetPublic, { name, version, types: knownTypes });
}

/** Base64url whose padding may be missing, and is right where it is not. */
function bytesOf(text: string): Uint8Array | undefined {
  const bare = text.replace(/={1,2}$/, "");
  if (bare !== text && text.length % 4 !== 0) return undefined;
  return decodeBase64Url(bare);
}
