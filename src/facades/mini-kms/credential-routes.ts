/** Mini KMS's store for the credentials of a holder: keep, find, show, delete. */
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import { readTagQuery } from "../../credentials/tag-query.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import {
  credentialDelete,
  credentialGet,
  credentialSearch,
  credentialStore,
} from "../../service/credential-operations.ts";
import { inProfile } from "./profile.ts";

const LIST_ITEMS_MAX = 64;
const TAGS_MAX = 64;
const LIMIT_DEFAULT = 10;
const LIMIT_MAX = 50;
const OFFSET_MAX = 50_000;
const BODY_BYTES_MAX = 512 * 1024;

const wellFormed = (text: string): boolean => text.isWellFormed();
const text = z.string().max(2048).refine(wellFormed, "Input should be well-formed Unicode");
const id = text.min(1).max(512);
/** What stands in a path as it is (RFC 3986 `pchar` without percent-encoding): else the record could never be asked for. */
const recordId = id.regex(
  /^(?!\.{1,2}$)[A-Za-z0-9._~!$&'()*+,;=:@-]+$/,
  "Input should be letters, digits and characters that a path takes as they are",
);
const list = z.array(text).max(LIST_ITEMS_MAX);
const tagText = text.max(512);
const tags = z
  .record(tagText, tagText)
  .refine(
    (value) => Object.keys(value).length <= TAGS_MAX,
    `Dictionary should have at most ${TAGS_MAX} items`,
  );
const value = z
  .record(z.string(), z.unknown())
  .refine(isKept, "Input should hold no number that a double does not hold, and no broken Unicode");
const tagQuery = z
  .record(z.string(), z.unknown())
  .transform((query, context) => {
    const read = readTagQuery(query);
    if (read !== undefined) return read;
    context.addIssue({ code: "custom", message: "Input should be a tag query" });
    return z.NEVER;
  })
  .meta({ examples: [{ $or: [{ purpose: "login" }, { level: { $in: ["1", "2"] } }] }] });

const stored = z.strictObject({
  contexts: list,
  expanded_types: list,
  issuer_id: text,
  subject_ids: list,
  schema_ids: list,
  proof_types: list,
  cred_value: value,
  given_id: id.nullish(),
  cred_tags: tags.nullish(),
  record_id: recordId.nullish(),
});
const record = z.strictObject({
  contexts: z.array(z.string()),
  expanded_types: z.array(z.string()),
  issuer_id: z.string(),
  subject_ids: z.array(z.string()),
  schema_ids: z.array(z.string()),
  proof_types: z.array(z.string()),
  cred_value: z.record(z.string(), z.unknown()),
  given_id: z.string().nullable(),
  cred_tags: z.record(z.string(), z.string()),
  record_id: z.string(),
});
const searched = z.strictObject({
  contexts: list.nullish(),
  types: list.nullish(),
  schema_ids: list.nullish(),
  issuer_id: text.nullish(),
  subject_ids: list.nullish(),
  proof_types: list.nullish(),
  given_id: id.nullish(),
  tag_query: tagQuery.nullish(),
  offset: z.int().min(0).max(OFFSET_MAX).default(0),
  limit: z.int().min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT),
});
const recordParams = z.strictObject({ record_id: id });

type Credential = Awaited<ReturnType<(typeof credentialGet)["run"]>>;

const noCredential = (): never => {
  throw new KeysteadError("credential_not_found");
};

export const credentialRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: "/vc-holder/store",
    summary: "Keep a credential",
    operation: credentialStore,
    status: 200,
    body: stored,
    bodyBytesMax: BODY_BYTES_MAX,
    response: z.strictObject({ record_id: z.string() }),
    serve: (call, { body }) =>
      inProfile(call, {
        operation: credentialStore,
        makes: true,
        async use(profile) {
          const recordId = await profile.perform(credentialStore, {
            contexts: body.contexts,
            types: body.expanded_types,
            issuerId: body.issuer_id,
            subjectIds: body.subject_ids,
            schemaIds: body.schema_ids,
            proofTypes: body.proof_types,
            value: body.cred_value,
            givenId: body.given_id ?? undefined,
            tags: body.cred_tags ?? {},
            recordId: body.record_id ?? undefined,
          });
          return { record_id: recordId };
        },
      }),
  }),
  facadeRoute({
    method: "GET",
    path: "/vc-holder/credential/record/{record_id}",
    summary: "Get a credential by its record id",
    operation: credentialGet,
    status: 200,
    params: recordParams,
    response: record,
    serve: (call, { params }) =>
      inProfile(call, {
        operation: credentialGet,
        use: async (profile) => shown(await profile.perform(credentialGet, { recordId: params.record_id })),
        absent: noCredential,
      }),
  }),
  facadeRoute({
    method: "GET",
    path: "/vc-holder/credential/given/{given_id}",
    summary: "Get a credential by the id that its issuer gave it",
    operation: credentialGet,
    status: 200,
    params: z.strictObject({ given_id: id }),
    response: record,
    serve: (call, { params }) =>
      inProfile(call, {
        operation: credentialGet,
        use: async (profile) => shown(await profile.perform(credentialGet, { givenId: params.given_id })),
        absent: noCredential,
      }),
  }),
  facadeRoute({
    method: "DELETE",
    path: "/vc-holder/credential/record/{record_id}",
    summary: "Delete a credential",
    operation: credentialDelete,
    status: 200,
    params: recordParams,
    response: z.null(),
    serve: (call, { params }) =>
      inProfile(call, {
        operation: credentialDelete,
        async use(profile) {
          await profile.perform(credentialDelete, { recordId: params.record_id });
          return null;
        },
        absent: noCredential,
      }),
  }),
  facadeRoute({
    method: "POST",
    path: "/vc-holder/credentials",
    summary: "Find credentials: those that have all that is asked for",
    operation: credentialSearch,
    status: 200,
    body: searched,
    response: z.strictObject({ records: z.array(record).max(LIMIT_MAX) }),
    serve: (call, { body }) =>
      inProfile(call, {
        operation: credentialSearch,
        async use(profile) {
          const found = await profile.perform(credentialSearch, {
            contexts: body.contexts ?? [],
            types: body.types ?? [],
            issuerId: body.issuer_id ?? undefined,
            subjectIds: body.subject_ids ?? [],
            schemaIds: body.schema_ids ?? [],
            proofTypes: body.proof_types ?? [],
            givenId: body.given_id ?? undefined,
            tags: body.tag_query ?? undefined,
            offset: body.offset,
            limit: body.limit,
          });
          return { records: found.map(shown) };
        },
        absent: () => ({ records: [] }),
      }),
  }),
];

function shown(one: Credential): z.output<typeof record> {
  return {
    contexts: [...one.contexts],
    expanded_types: [...one.types],
    issuer_id: one.issuerId,
    subject_ids: [...one.subjectIds],
    schema_ids: [...one.schemaIds],
    proof_types: [...one.proofTypes],
    cred_value: { ...one.value },
    given_id: one.givenId ?? null,
    cred_tags: { ...one.tags },
    record_id: one.recordId,
  };
}

/**
 * Whether a value comes out of the store as it went in: another number would break the credential's proof. Of a fraction
 * only the nearest double is known here.
 */
function isKept(one: unknown): boolean {
  if (typeof one === "string") return one.isWellFormed();
  if (typeof one === "number")
    return (
      Number.isFinite(one) && !Object.is(one, -0) && (!Number.isInteger(one) || Number.isSafeInteger(one))
    );
  if (typeof one !== "object" || one === null) return true;
  if (Array.isArray(one)) return one.every(isKept);
  return Object.entries(one).every(([name, part]) => name.isWellFormed() && isKept(part));
}
