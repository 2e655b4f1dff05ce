/**
 * Auto KMS's key resource: make, list, show, change, replace, delete; one at a time or many in an array.
 * Invariant: each item of an array is an operation of its own, decided and recorded by itself; what can be refused is looked
 * at for all items before the first is changed, and where one fails after that, those before it stay done.
 */
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import {
  keyCreate,
  keyDisable,
  keyEnable,
  keyGet,
  keyList,
  keyScheduleDeletion,
  keyUpdate,
} from "../../service/key-operations.ts";
import { listedKeys } from "./key-list.ts";
import {
  algorithm,
  assertDistinct,
  fixed,
  getKey,
  id,
  idParams,
  ITEMS_MAX,
  keyAnswer,
  keyTypeOf,
  name,
  namesOf,
  SCHEME,
  shown,
  status,
  type Key,
  type ShownKey,
} from "./resource.ts";

const DELETION_DAYS = 30;
const collection = "/kms/Key";
const newerCollection = ["/kms/key"];
const member = "/kms/Key/{id}";
const newerMember = ["/kms/key/{id}"];

const created = z.strictObject({ name, algorithm, status: status.optional() });
/** What a client may send back as it got it: it has to say what is. */
const readOnly = { id: id.optional(), algorithm: algorithm.optional(), primary_version: z.int().optional() };
const changed = z.strictObject({ ...readOnly, name: name.optional(), status: status.optional() });
const replaced = z.strictObject({ ...readOnly, name, status });
type Changed = z.output<typeof changed>;

const many = <T extends z.ZodType>(item: T): z.ZodArray<T> => z.array(item).min(1).max(ITEMS_MAX);
const deleted = z.strictObject({ deleted: z.int() });
const keyReference = z.union([id, z.looseObject({ id })]);

export const keyRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: collection,
    alsoAt: newerCollection,
    summary: "Create a key, or the keys of an array",
    operation: keyCreate,
    status: 201,
    body: z.union([created, many(created)]),
    response: z.union([keyAnswer, z.array(keyAnswer)]),
    async serve(call, { body }) {
      if (!Array.isArray(body)) return create(call, body);
      assertDistinct(
        body.map((item) => item.name),
        () => new KeysteadError("key_exists"),
      );
      return eachInTurn(body, (item, at) => create(call.ofItem(at), item));
    },
  }),
  facadeRoute({
    method: "GET",
    path: collection,
    alsoAt: newerCollection,
    summary: "List keys",
    operation: keyList,
    status: 200,
    query: z.strictObject({
      name: z.string().max(512).optional(),
      status: status.optional(),
      algorithm: algorithm.optional(),
      sort: z
        .string()
        .regex(
          /^-?(id|name|algorithm|status|primary_version)(:(asc|desc))?(,-?(id|name|algorithm|status|primary_version)(:(asc|desc))?){0,4}$/,
          "Input should be fields of a key between commas, each with a leading '-' or ':desc' for the other direction",
        )
        .optional()
        .meta({ examples: ["name:desc"] }),
      skip: whole(0),
      limit: whole(1),
    }),
    response: z.array(keyAnswer),
    serve: (call, { query }) => listedKeys(call, query),
  }),
  facadeRoute({
    method: "GET",
    path: member,
    alsoAt: newerMember,
    summary: "Get a key",
    operation: keyGet,
    status: 200,
    params: idParams,
    response: keyAnswer,
    serve: async (call, { params }) => shown(await getKey(call, params.id)),
  }),
  facadeRoute({
    method: "PATCH",
    path: member,
    alsoAt: newerMember,
    summary: "Change a key's name or status",
    operation: keyUpdate,
    status: 200,
    params: idParams,
    body: changed,
    response: keyAnswer,
    serve: async (call, { params, body }) => change(call, await getKey(call, params.id), body),
  }),
  facadeRoute({
    method: "PUT",
    path: member,
    alsoAt: newerMember,
    summary: "Replace all of a key that can be written",
    operation: keyUpdate,
    status: 200,
    params: idParams,
    body: replaced,
    response: keyAnswer,
    serve: async (call, { params, body }) => change(call, await getKey(call, params.id), body),
  }),
  facadeRoute({
    method: "DELETE",
    path: member,
    alsoAt: newerMember,
    summary: "Delete a key with its versions: it is gone here at once, and destroyed in 30 days",
    operation: keyScheduleDeletion,
    status: 200,
    params: idParams,
    response: deleted,
    serve: (call, { params }) => removeAll(call, [params.id]),
  }),
  facadeRoute({
    method: "PATCH",
    path: collection,
    alsoAt: newerCollection,
    summary: "Change the keys of an array",
    operation: keyUpdate,
    status: 200,
    body: many(changed.extend({ id })),
    response: z.array(keyAnswer),
    serve: (call, { body }) => changeMany(call, body),
  }),
  facadeRoute({
    method: "PUT",
    path: collection,
    alsoAt: newerCollection,
    summary: "Replace the keys of an array",
    operation: keyUpdate,
    status: 200,
    body: many(replaced.extend({ id })),
    response: z.array(keyAnswer),
    serve: (call, { body }) => changeMany(call, body),
  }),
  facadeRoute({
    method: "DELETE",
    path: collection,
    alsoAt: newerCollection,
    summary: "Delete the keys of an array of ids",
    operation: keyScheduleDeletion,
    status: 200,
    body: many(keyReference),
    response: deleted,
    serve: (call, { body }) =>
      removeAll(
        call,
        body.map((item) => (typeof item === "string" ? item : item.id)),
      ),
  }),
];

/** A whole number in a query string. */
function whole(min: number): z.ZodOptional<z.ZodType<number>> {
  return z
    .string()
    .regex(/^\d{1,9}$/, "Input should be a valid integer")
    .transform(Number)
    .refine((value) => value >= min, `Input should be at least ${min}`)
    .optional();
}

async function create(call: FacadeCall, item: z.output<typeof created>): Promise<ShownKey> {
  const { native, alias } = namesOf(item.name);
  const key = await call.perform(keyCreate, {
    name: native,
    type: keyTypeOf(item.algorithm),
    purpose: "encrypt",
    exportable: false,
    description: undefined,
    labels: undefined,
    rotationPeriodDays: undefined,
    aliases: alias === undefined ? undefined : [{ scheme: SCHEME, text: alias, isShown: true }],
    state: item.status,
  });
  return shown(key);
}

async function changeMany(
  call: FacadeCall,
  items: readonly (Changed & { readonly id: string })[],
): Promise<ShownKey[]> {
  assertDistinct(
    items.map((item) => item.id),
    () => new KeysteadError("conflict", { detail: "a key stands in the array twice" }),
  );
  const keys = await eachInTurn(items, (item) => getKey(call, item.id));
  for (const [at, key] of keys.entries()) assertChangeable(key, items[at] ?? {});
  return eachInTurn(keys, (key, at) => change(call.ofItem(at), key, items[at] ?? {}));
}

/**
 * One change at most, so that all of it is done or nothing. Which operation that is depends on what was asked for alone, not
 * on what is there: then it is known again under its idempotency key.
 */
async function change(call: FacadeCall, key: Key, item: Changed): Promise<ShownKey> {
  assertChangeable(key, item);
  const { id: keyId } = key;
  const { name: wantedName, status: wantedStatus } = item;
  // A revoked key is shown as disabled, and is left as it is.
  const state = wantedStatus === shown(key).status ? undefined : wantedStatus;
  if (wantedName !== undefined) {
    const { native, alias } = namesOf(wantedName);
    const input = {
      name: keyId,
      update: { name: native, state },
      alias: { scheme: SCHEME, text: alias },
    };
    return shown(await call.perform(keyUpdate, input, { id: keyId, name: wantedName, status: wantedStatus }));
  }
  if (wantedStatus === undefined || key.state === "revoked") return shown(key);
  const operation = wantedStatus === "enabled" ? keyEnable : keyDisable;
  return shown(await call.perform(operation, { name: keyId, version: undefined }));
}

/** Throws for what would change what stands for good. */
function assertChangeable(key: Key, item: Changed): void {
  const { id: keyId, algorithm: itsAlgorithm, primary_version: version } = shown(key);
  if (item.id !== undefined && item.id !== keyId) throw fixed("id");
  if (item.algorithm !== undefined && item.algorithm !== itsAlgorithm) throw fixed("algorithm");
  if (item.primary_version !== undefined && item.primary_version !== version) throw fixed("primary_version");
  if (item.status === "enabled" && key.state === "revoked")
    throw new KeysteadError("conflict", { detail: "Key is revoked and stays disabled" });
}

/** Deletes keys, each once. All have to be there before the first goes. */
async function removeAll(call: FacadeCall, ids: readonly string[]): Promise<{ deleted: number }> {
  const removals = [...new Set(ids)].map((keyId, at) => ({
    part: call.ofItem(at),
    input: { name: keyId, days: DELETION_DAYS, freesNames: true },
  }));
  const found = await eachInTurn(removals, async (removal) => {
    const { part, input } = removal;
    const key = await part.findUnlessGone(() => getKey(part, input.name), keyScheduleDeletion, input);
    return key === undefined ? undefined : removal;
  });
  for (const removal of found) {
    if (removal !== undefined) await removal.part.perform(keyScheduleDeletion, removal.input);
  }
  return { deleted: removals.length };
}

/** One after the other: a caller's many items take no more of the service at once than one. */
export async function eachInTurn<T, R>(
  items: readonly T[],
  work: (item: T, at: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (const [at, item] of items.entries()) results.push(await work(item, at));
  return results;
}
