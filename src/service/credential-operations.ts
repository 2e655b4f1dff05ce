/**
 * The operations on credentials that are kept for their holders.
 * Invariant: a credential has no name that a pattern could match: only bindings and statements over all names of a project
 * reach any. The audit log names a row's own id, never the id that a client chose.
 */
import type { Credential, CredentialQuery } from "../credentials/credentials.ts";
import { randomId } from "../crypto/random.ts";
import {
  replayNothing,
  type ProjectMutation,
  type ProjectOperation,
  type ResourceName,
} from "./operation.ts";

const anyCredential = (): ResourceName => ({ kind: "credential", name: "" });

export type CredentialHandle = { readonly recordId: string } | { readonly givenId: string };

export interface SearchInput extends CredentialQuery {
  readonly offset: number;
  readonly limit: number;
}

export interface StoreInput extends Omit<Credential, "recordId"> {
  /** Undefined draws one. */
  readonly recordId: string | undefined;
}

/** Answers with the record's id. */
export const credentialStore: ProjectMutation<StoreInput, string> = {
  id: "credential.store",
  scope: "kms:store_credential",
  inProject: true,
  resource: anyCredential,
  async run({ services, project, commit }, input) {
    const credential = { ...input, recordId: input.recordId ?? randomId() };
    return (await services.credentials.add(project.id, credential, commit)).recordId;
  },
  async replay({ services, project }, { object }) {
    return (await services.credentials.byId(project.id, object)).recordId;
  },
};

export const credentialGet: ProjectOperation<CredentialHandle, Credential> = {
  id: "credential.get",
  scope: "kms:read_credential",
  inProject: true,
  resource: anyCredential,
  async run(context, handle) {
    const { credentials } = context.services;
    const { id: project } = context.project;
    const found =
      "recordId" in handle
        ? await credentials.byRecordId(project, handle.recordId)
        : await credentials.byGivenId(project, handle.givenId);
    context.resource = { kind: "credential", name: found.id };
    return credentials.withValue(project, found);
  },
};

export const credentialSearch: ProjectOperation<SearchInput, Credential[]> = {
  id: "credential.search",
  scope: "kms:read_credential",
  inProject: true,
  resource: anyCredential,
  async run(context, { offset, limit, ...query }) {
    const { services, project } = context;
    const found = await services.credentials.search(project.id, query, { offset, limit });
    context.details = { records: found.length };
    return found;
  },
};

export const credentialDelete: ProjectMutation<{ readonly recordId: string }, undefined> = {
  id: "credential.delete",
  scope: "kms:delete_credential",
  inProject: true,
  resource: anyCredential,
  async run({ services, project, commit }, { recordId }) {
    await services.credentials.remove(project.id, recordId, commit);
    return undefined;
  },
  replay: replayNothing,
};
