/**
 * Keys as APIs want them that know a key by its public part: made and shown with the JWK, found by its thumbprint (RFC
 * 7638), signing with the version that the thumbprint names.
 * Invariant: a key of a type that the API does not know, or that is to be deleted, looks like one that is not there.
 */
import type { KeyType } from "../crypto/catalogue.ts";
import { jwkThumbprint } from "../crypto/jwk-thumbprint.ts";
import { KeysteadError } from "../errors.ts";
import { THUMBPRINT } from "../keyring/key-aliases.ts";
import { publicKeyOf } from "../keyring/key-transfer.ts";
import { keyAlgorithm, latestVersion, type Key } from "../keyring/key.ts";
import { sign, type Signature } from "../keyring/signature-use.ts";
import { keyCreate, type KeyCreateInput } from "./key-operations.ts";
import { findKey, keyResource, noteVersion, type Named } from "./key-resource.ts";
import type { ProjectContext, ProjectMutation, ProjectOperation } from "./operation.ts";

const LIST_ROWS = 200;
/** Keys that one list looks at. */
const SCANNED_MAX = 5000;

interface Known {
  /** The types that the API knows. */
  readonly types: readonly KeyType[];
}

export interface PublicKeyInput extends Named, Known {
  /** Undefined takes the latest. */
  readonly version: number | undefined;
}

/** A version of a key by its public part. */
export interface PublicView {
  readonly id: string;
  readonly type: KeyType;
  readonly version: number;
  /** The thumbprint of its public key; the key's own id where it has none, or where another key had it first. */
  readonly kid: string;
  /** Undefined for a symmetric key. */
  readonly jwk: Readonly<Record<string, string>> | undefined;
}

/** Makes a key. Its name is drawn by the API: a request that comes again under its idempotency key may draw another. */
export const keyGeneratePublic: ProjectMutation<KeyCreateInput, PublicView> = {
  ...keyCreate,
  idempotentInput: (input) => ({ ...input, name: undefined }),
  run: async (context, input) => viewOf(context, await keyCreate.run(context, input), undefined),
  replay: async (context, remembered, input) =>
    viewOf(context, await keyCreate.replay(context, remembered, input), undefined),
};

export const keyGetPublic: ProjectOperation<PublicKeyInput, PublicView> = {
  id: "key.get",
  scope: "kms:read_key",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const view = await viewOf(context, await findKnown(context, input), input.version);
    context.version = view.version;
    return view;
  },
};

/** The first keys in the order of their names, of those that the caller may list and read. */
export const keyListPublic: ProjectOperation<Known & { readonly limit: number }, PublicView[]> = {
  id: "key.list",
  scope: "kms:list_keys",
  inProject: true,
  resource: () => undefined,
  async run(context, { types, limit }) {
    const { project, services } = context;
    const isVisible = (name: string): boolean =>
      context.allows("kms:list_keys", { project: project.id, name }) &&
      context.allows("kms:read_key", { project: project.id, name });
    const views: PublicView[] = [];
    let scanned = 0;
    for (let after: string | undefined = ""; after !== undefined && scanned < SCANNED_MAX;) {
      const { items, lastName } = await services.keyring.list(project.id, after, LIST_ROWS, isVisible);
      for (const key of items) {
        if (!isKnown(key, types)) continue;
        views.push(await viewOf(context, key, undefined));
        if (views.length === limit) return views;
      }
      // Opening a slice's keys took a while.
      await new Promise((resolve) => setImmediate(resolve));
      scanned += LIST_ROWS;
      after = lastName;
    }
    return views;
  },
};

/** Signs a message. ECDSA's signature is r ‖ s, every other one as its algorithm has it. */
export const keySignRaw: ProjectOperation<PublicKeyInput & { readonly message: Uint8Array }, Signature> = {
  id: "key.sign",
  scope: "kms:sign",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const key = await findKnown(context, input);
    const algorithm = keyAlgorithm(key);
    const hasRaw = algorithm.family === "signature" && algorithm.encodings.includes("raw");
    const options = hasRaw ? { encoding: "raw" as const } : {};
    const { message } = input;
    return noteVersion(
      context,
      sign(context.services.keyring, key, { signed: { message }, options }, input.version),
    );
  },
};

async function viewOf(context: ProjectContext, key: Key, asked: number | undefined): Promise<PublicView> {
  const version = asked ?? latestVersion(key);
  const { id, type } = key;
  const { family } = keyAlgorithm(key);
  if (family === "cipher" || family === "mac" || family === "wrap")
    return { id, type, version, kid: id, jwk: undefined };
  const { jwk } = await publicKeyOf(context.services.keyring, key, version);
  const hasThumbprint = key.aliases?.some(
    (alias) => alias.scheme === THUMBPRINT && alias.version === version,
  );
  return { id, type, version, kid: hasThumbprint === true ? jwkThumbprint(jwk) : id, jwk };
}

async function findKnown(context: ProjectContext, input: Named & Known): Promise<Key> {
  const key = await findKey(context, input);
  if (!isKnown(key, input.types)) throw new KeysteadError("key_not_found");
  return key;
}

function isKnown({ type, state }: Key, types: readonly KeyType[]): boolean {
  return types.includes(type) && state !== "pending_deletion" && state !== "destroyed";
}
