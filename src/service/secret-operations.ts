/** The operations on secrets. */
import type { Secret, SecretValue } from "../secrets/secrets.ts";
import {
  replayNothing,
  type ProjectMutation,
  type ProjectOperation,
  type ResourceName,
} from "./operation.ts";
import { readPage, type Page, type PageInput } from "./paging.ts";

interface Named {
  readonly name: string;
}

const secretResource = (input: Named): ResourceName => ({ kind: "secret", name: input.name });

export const secretPut: ProjectMutation<Named & { readonly value: Uint8Array }, Secret> = {
  id: "secret.put",
  scope: "kms:put_secret",
  inProject: true,
  resource: secretResource,
  run: (context, { name, value }) =>
    context.services.secrets.put(context.project.id, name, value, context.commit),
  replay: (context, { object, version }) =>
    context.services.secrets.atVersion(context.project.id, object, version),
};

export const secretGet: ProjectOperation<Named & { readonly version: number | undefined }, SecretValue> = {
  id: "secret.get",
  scope: "kms:read_secret",
  inProject: true,
  resource: secretResource,
  async run(context, { name, version }) {
    const opened = await context.services.secrets.openValue(context.project.id, name, version);
    context.version = opened.version;
    return opened;
  },
};

export const secretList: ProjectOperation<PageInput, Page<Secret>> = {
  id: "secret.list",
  scope: "kms:list_secrets",
  inProject: true,
  resource: () => undefined,
  run(context, input) {
    const { project, services } = context;
    const isVisible = (name: string): boolean =>
      context.allows("kms:list_secrets", { project: project.id, name });
    return readPage(services.cursors, input, (after, rows) =>
      services.secrets.list(project.id, after, rows, isVisible),
    );
  },
};

export const secretDelete: ProjectMutation<Named, undefined> = {
  id: "secret.delete",
  scope: "kms:delete_secret",
  inProject: true,
  resource: secretResource,
  async run(context, { name }) {
    await context.services.secrets.remove(context.project.id, name, context.commit);
    return undefined;
  },
  replay: replayNothing,
};
