/** The operations on data encryption keys that their holders encrypt with by themselves. */
import { randomId } from "../crypto/random.ts";
import { KeysteadError } from "../errors.ts";
import { handOut, type Dek, type DekPair } from "../keyring/dek-use.ts";
import { latestVersion, type Key } from "../keyring/key.ts";
import type { NewAlias } from "../keyring/key-aliases.ts";
import type { Scope } from "../policy/roles.ts";
import { keyResource, withKey, type Named } from "./key-resource.ts";
import {
  refuseReplay,
  type ProjectContext,
  type ProjectMutation,
  type ProjectOperation,
} from "./operation.ts";

const USE_SCOPE = "kms:use_dek";
/** Raw keys go to programs, never to people. */
const CALLER_KINDS = ["service"] as const;

export interface DekGetInput extends Named {
  /** Undefined asks for the one in use. */
  readonly version: number | undefined;
}

export const dekCreate: ProjectMutation<{ readonly alias: NewAlias }, Dek> = {
  id: "dek.create",
  scope: "kms:create_key",
  callerKinds: CALLER_KINDS,
  inProject: true,
  resource: () => undefined,
  async run(context, { alias }) {
    const { services, project, commit } = context;
    // Whatever its holder calls it stands in no column and in no log.
    const name = `dek-${randomId().replaceAll("-", "")}`;
    assertAlso(context, "kms:create_key", name);
    assertAlso(context, USE_SCOPE, name);
    const key = await services.keyring.create(
      project.id,
      {
        name,
        type: "aes-256",
        dek: true,
        exportable: true,
        rotationPeriodDays: services.dekRotationDays,
        aliases: [alias],
      },
      commit,
    );
    return made(context, key);
  },
  replay: refuseReplay,
};

export const dekGet: ProjectOperation<DekGetInput, DekPair> = {
  id: "dek.get",
  scope: USE_SCOPE,
  callerKinds: CALLER_KINDS,
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    withKey(context, input, (key) => {
      const pair = handOut(context.services.keyring, key, input.version);
      const noted = (handed: DekPair): DekPair => {
        context.version = handed.decryptWith.version;
        return handed;
      };
      return pair instanceof Promise ? pair.then(noted) : noted(pair);
    }),
};

export const dekRotate: ProjectMutation<Named, Dek> = {
  id: "dek.rotate",
  scope: "kms:rotate_key",
  callerKinds: CALLER_KINDS,
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const { services, project, commit } = context;
    assertAlso(context, USE_SCOPE, context.resource?.name ?? "");
    const key = await services.keyring.rotate(project.id, input.name, commit, ({ dek, exportable }) => {
      if (dek !== true || !exportable) throw new KeysteadError("key_not_exportable");
      return true;
    });
    return made(context, key);
  },
  replay: refuseReplay,
};

/** The version that was made just now, whatever was made after it. */
async function made({ services }: ProjectContext, key: Key): Promise<Dek> {
  const version = latestVersion(key);
  return { version, bytes: await services.keyring.dekBytes(key, version) };
}

function assertAlso(context: ProjectContext, scope: Scope, name: string): void {
  if (!context.allows(scope, { project: context.project.id, name })) throw new KeysteadError("forbidden");
}
