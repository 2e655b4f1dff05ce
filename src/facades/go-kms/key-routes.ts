/**
 * Go KMS's data encryption keys: each client has its own, under references that nobody else has a part in.
 * Invariant: everything is done in the caller's own project; a reference is an alias that only its keyed hash is kept of.
 */
import { z } from "zod";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { dekCreate, dekGet, dekRotate } from "../../service/dek-operations.ts";
import { keyScheduleDeletion } from "../../service/key-operations.ts";

const SCHEME = "go-kms";
const HOLD_MS = 5 * 60_000;
const DELETION_DAYS = 30;
const ENCODING = "base64url (RFC 4648)";

const keyReference = z
  .string()
  .regex(/^[a-zA-Z0-9-]{1,64}$/, "Should be 1 to 64 letters, digits and hyphens")
  .meta({ examples: ["orders"] });
const version = z
  .string()
  .regex(/^[1-9][0-9]{0,8}$/, "Version must be integer")
  .transform(Number);
const dek = z.strictObject({
  dek: z.string(),
  version: z.int(),
  encoding: z.literal(ENCODING),
  expiresAt: z.string(),
});
const pair = z.strictObject({ decryptWith: dek, encryptWith: dek });
type ShownDek = z.output<typeof dek>;
type Dek = Awaited<ReturnType<(typeof dekCreate)["run"]>>;

export const keyRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: "/keys/actions/generate",
    summary: "Make a data encryption key",
    operation: dekCreate,
    status: 200,
    body: z.strictObject({ keyReference }),
    response: dek,
    async serve(call, { body }) {
      const home = await call.atHome();
      const alias = { scheme: SCHEME, text: body.keyReference, isShown: false };
      return shown(await home.perform(dekCreate, { alias }));
    },
  }),
  facadeRoute({
    method: "GET",
    path: "/keys/{keyReference}/{version}",
    summary: "Fetch a version to decrypt with, and the latest to encrypt with",
    operation: dekGet,
    status: 200,
    params: z.strictObject({ keyReference, version }),
    response: pair,
    serve: (call, { params }) => fetchPair(call, params.keyReference, params.version),
  }),
  facadeRoute({
    method: "GET",
    path: "/keys/{keyReference}",
    summary: "Fetch the latest version",
    operation: dekGet,
    status: 200,
    params: z.strictObject({ keyReference }),
    response: pair,
    serve: (call, { params }) => fetchPair(call, params.keyReference, undefined),
  }),
  facadeRoute({
    method: "POST",
    path: "/keys/{keyReference}/actions/rotate",
    summary: "Make the key's next version",
    operation: dekRotate,
    status: 200,
    params: z.strictObject({ keyReference }),
    response: dek,
    async serve(call, { params }) {
      const home = await call.atHome();
      const name = await home.keyIdOfAlias(SCHEME, params.keyReference);
      return shown(await home.perform(dekRotate, { name }, params));
    },
  }),
  facadeRoute({
    method: "DELETE",
    path: "/keys/{keyReference}/actions/delete",
    summary: "Delete a key: it is gone here at once, and destroyed in 30 days",
    operation: keyScheduleDeletion,
    status: 204,
    params: z.strictObject({ keyReference }),
    async serve(call, { params }) {
      const home = await call.atHome();
      const name = await home.keyIdOfAlias(SCHEME, params.keyReference);
      const input = { name, days: DELETION_DAYS, freesNames: true };
      // By its reference, which leads nowhere once the key is deleted.
      await home.perform(keyScheduleDeletion, input, params);
      return undefined;
    },
  }),
];

async function fetchPair(
  call: FacadeCall,
  reference: string,
  wanted: number | undefined,
): Promise<{ decryptWith: ShownDek; encryptWith: ShownDek }> {
  const at = call.atHome();
  const home = at instanceof Promise ? await at : at;
  const name = await home.keyIdOfAlias(SCHEME, reference);
  const { decryptWith, encryptWith } = await home.perform(dekGet, { name, version: wanted });
  const isDeprecated = decryptWith.version !== encryptWith.version;
  call.headers["x-key-deprecated"] = String(isDeprecated);
  const inUse = shown(encryptWith);
  return { decryptWith: isDeprecated ? shown(decryptWith) : inUse, encryptWith: inUse };
}

function shown({ version: number, bytes }: Dek): ShownDek {
  return {
    dek: bytes.toString("base64url"),
    version: number,
    encoding: ENCODING,
    expiresAt: new Date(Date.now() + HOLD_MS).toISOString(),
  };
}
