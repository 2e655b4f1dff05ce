/**
 * Auto KMS's key versions. Material goes in and never comes out.
 * A version's id is its key's, with the version's number in the place of the last 32 bits: a UUID that is the same for ever
 * and needs no row of its own.
 * Invariant: a version that is disabled is not shown. Deleting one disables it: its material goes with its key, and until
 * then the native API can enable it again.
 */
import { z } from "zod";
import { decodeBase64 } from "../../bytes.ts";
import { KeysteadError } from "../../errors.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { keyDisable, keyGet, keyImportVersion, keyList, keyRotate } from "../../service/key-operations.ts";
import { shownKeys } from "./key-list.ts";
import { eachInTurn } from "./key-routes.ts";
import { fixed, getKey, id, idParams, isShown, ITEMS_MAX, primaryVersion, type Key } from "./resource.ts";

const PREFIX_CHARACTERS = 28;
const LIMIT_MAX = 1000;
const collection = "/kms/key_version";
const newerCollection = ["/kms/KeyVersion"];
const member = "/kms/key_version/{id}";
const newerMember = ["/kms/KeyVersion/{id}"];

const version = z.int().min(1).max(0xffff_ffff);
const active = z.literal("active");
const material = z
  .string()
  .max(64 * 1024)
  .meta({ contentEncoding: "base64" });
const created = z.strictObject({
  key_id: id,
  version,
  status: active.optional(),
  public_material_b64: material.nullish(),
});
/** Nothing of a version can be changed: what is sent has to say what is. */
const changed = z.strictObject({
  id: id.optional(),
  key_id: id.optional(),
  version: version.optional(),
  status: active.optional(),
  public_material_b64: material.nullish(),
});
const replaced = changed.extend({ key_id: id, version, status: active });
type Changed = z.output<typeof changed>;

const versionAnswer = z.strictObject({ id: z.uuid(), key_id: z.uuid(), version: z.int(), status: active });
type ShownVersion = z.output<typeof versionAnswer>;
const deleted = z.strictObject({ deleted: z.int() });
const many = <T extends z.ZodType>(item: T): z.ZodArray<T> => z.array(item).min(1).max(ITEMS_MAX);
const wholeText = z
  .string()
  .regex(/^\d{1,9}$/, "Input should be a valid integer")
  .transform(Number);

export const versionRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: collection,
    alsoAt: newerCollection,
    summary: "Add a version to a key: with material from outside, or with fresh material where none is given",
    operation: keyImportVersion,
    status: 201,
    body: z.union([created, many(created)]),
    response: z.union([versionAnswer, z.array(versionAnswer)]),
    serve: (call, { body }) =>
      Array.isArray(body) ? eachInTurn(body, (item, at) => add(call.ofItem(at), item)) : add(call, body),
  }),
  facadeRoute({
    method: "GET",
    path: collection,
    alsoAt: newerCollection,
    summary: "List versions",
    operation: keyList,
    status: 200,
    query: z.strictObject({
      key_id: id.optional(),
      version: wholeText.optional(),
      status: z.string().max(64).optional(),
      skip: wholeText.optional(),
      limit: wholeText.optional(),
    }),
    response: z.array(versionAnswer),
    async serve(call, { query }) {
      const { skip = 0, limit = LIMIT_MAX } = query;
      const wanted = skip + Math.min(limit, LIMIT_MAX);
      const found: ShownVersion[] = [];
      if (query.status !== undefined && query.status !== "active") return found;
      for await (const key of keysAsked(call, query.key_id)) {
        found.push(
          ...shownVersions(key).filter((one) => query.version === undefined || one.version === query.version),
        );
        if (found.length >= wanted) break;
      }
      return found.slice(skip, wanted);
    },
  }),
  facadeRoute({
    method: "GET",
    path: member,
    alsoAt: newerMember,
    summary: "Get a version",
    operation: keyGet,
    status: 200,
    params: idParams,
    response: versionAnswer,
    serve: async (call, { params }) => (await getVersion(call, params.id)).shown,
  }),
  facadeRoute({
    method: "PATCH",
    path: member,
    alsoAt: newerMember,
    summary: "Say of a version what is true of it already",
    operation: keyGet,
    status: 200,
    params: idParams,
    body: changed,
    response: versionAnswer,
    serve: (call, { params, body }) => confirm(call, params.id, body),
  }),
  facadeRoute({
    method: "PUT",
    path: member,
    alsoAt: newerMember,
    summary: "Say of a version all that is true of it already",
    operation: keyGet,
    status: 200,
    params: idParams,
    body: replaced,
    response: versionAnswer,
    serve: (call, { params, body }) => confirm(call, params.id, body),
  }),
  facadeRoute({
    method: "DELETE",
    path: member,
    alsoAt: newerMember,
    summary: "Delete an older version: it is gone here, and used no more",
    operation: keyDisable,
    status: 200,
    params: idParams,
    response: deleted,
    serve: (call, { params }) => removeAll(call, [params.id]),
  }),
  facadeRoute({
    method: "PATCH",
    path: collection,
    alsoAt: newerCollection,
    summary: "The same for the versions of an array",
    operation: keyGet,
    status: 200,
    body: many(changed.extend({ id })),
    response: z.array(versionAnswer),
    serve: (call, { body }) => eachInTurn(body, (item) => confirm(call, item.id, item)),
  }),
  facadeRoute({
    method: "PUT",
    path: collection,
    alsoAt: newerCollection,
    summary: "The same for the versions of an array, all fields",
    operation: keyGet,
    status: 200,
    body: many(replaced.extend({ id })),
    response: z.array(versionAnswer),
    serve: (call, { body }) => eachInTurn(body, (item) => confirm(call, item.id, item)),
  }),
  facadeRoute({
    method: "DELETE",
    path: collection,
    alsoAt: newerCollection,
    summary: "Delete the older versions of an array of ids",
    operation: keyDisable,
    status: 200,
    body: many(z.union([id, z.looseObject({ id })])),
    response: deleted,
    serve: (call, { body }) =>
      removeAll(
        call,
        body.map((item) => (typeof item === "string" ? item : item.id)),
      ),
  }),
];

async function add(call: FacadeCall, item: z.output<typeof created>): Promise<ShownVersion> {
  const { key_id: keyId, public_material_b64: text } = item;
  await getKey(call, keyId);
  const input = { name: keyId, version: item.version };
  const key =
    text === undefined || text === null
      ? await call.perform(keyRotate, input)
      : await call.perform(keyImportVersion, () => {
          const bytes = decodeBase64(text);
          if (bytes === undefined)
            throw new KeysteadError("invalid_encoding", { field: "public_material_b64" });
          return { ...input, imported: { format: "raw" as const, bytes } };
        });
  return shownVersion(key, item.version);
}

async function* keysAsked(call: FacadeCall, keyId: string | undefined): AsyncGenerator<Key> {
  if (keyId === undefined) {
    yield* shownKeys(call);
    return;
  }
  const key = await call.perform(keyGet, { name: keyId });
  if (isShown(key)) yield key;
}

/** Rejects with `key_version_not_found`. */
async function getVersion(
  call: FacadeCall,
  versionId: string,
): Promise<{ readonly key: Key; readonly shown: ShownVersion }> {
  const keyId = await keyIdOf(call, versionId);
  try {
    const key = await getKey(call, keyId);
    const shown = shownVersions(key).find((candidate) => candidate.id === versionId);
    if (shown !== undefined) return { key, shown };
  } catch (thrown) {
    if (!(thrown instanceof KeysteadError) || thrown.code !== "key_not_found") throw thrown;
  }
  throw new KeysteadError("key_version_not_found");
}

async function confirm(call: FacadeCall, versionId: string, item: Changed): Promise<ShownVersion> {
  const { shown } = await getVersion(call, versionId);
  if (item.public_material_b64 !== undefined && item.public_material_b64 !== null) {
    throw new KeysteadError("invalid_body", {
      detail: "public_material_b64 is taken when a version is made only",
    });
  }
  if (item.id !== undefined && item.id !== shown.id) throw fixed("id");
  if (item.key_id !== undefined && item.key_id !== shown.key_id) throw fixed("key_id");
  if (item.version !== undefined && item.version !== shown.version) throw fixed("version");
  return shown;
}

async function removeAll(call: FacadeCall, ids: readonly string[]): Promise<{ deleted: number }> {
  const found = await eachInTurn([...new Set(ids)], async (versionId, at) => {
    const part = call.ofItem(at);
    const input = { name: await keyIdOf(part, versionId), version: numberOf(versionId) };
    const version = await part.findUnlessGone(() => getVersion(part, versionId), keyDisable, input);
    return { part, input, version };
  });
  for (const { version } of found) {
    if (version !== undefined && version.shown.version === primaryVersion(version.key))
      throw new KeysteadError("conflict", { detail: "The primary version cannot be deleted" });
  }
  for (const { part, input, version } of found) {
    if (version !== undefined) await part.perform(keyDisable, input);
  }
  return { deleted: found.length };
}

function keyIdOf(call: FacadeCall, versionId: string): Promise<string> {
  return call.keyIdOfPrefix(versionId.slice(0, PREFIX_CHARACTERS));
}

/** The number in a version's id. */
function numberOf(versionId: string): number {
  return Number.parseInt(versionId.slice(PREFIX_CHARACTERS), 16);
}

function shownVersions(key: Key): ShownVersion[] {
  return key.versions
    .filter(({ state = "enabled" }) => state === "enabled")
    .map((record) => shownVersion(key, record.version));
}

function shownVersion(key: Key, number: number): ShownVersion {
  const digits = number.toString(16).padStart(8, "0");
  return {
    id: key.id.slice(0, PREFIX_CHARACTERS) + digits,
    key_id: key.id,
    version: number,
    status: "active",
  };
}
