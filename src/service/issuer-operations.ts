/** The operations on external issuers: whose tokens are taken, and what they are worth. */
import { areCertificates } from "../crypto/certificate.ts";
import { KeysteadError } from "../errors.ts";
import { isFetchable } from "../identity/issuer-fetch.ts";
import { isPrivate, parseKeySet } from "../identity/issuer-key.ts";
import type { Issuer, IssuerRule, IssuerSettings, KeySource } from "../identity/issuer.ts";
import { ALL_PROJECTS } from "../policy/decide.ts";
import { projectIdOf } from "./identity-operations.ts";
import {
  replayNothing,
  type GlobalMutation,
  type GlobalOperation,
  type OperationContext,
  type Remembered,
  type ResourceName,
} from "./operation.ts";

interface Named {
  readonly name: string;
}

/** Settings as they come over the wire: rules name projects by their names. */
export type GivenSettings = IssuerSettings;

export type IssuerCreateInput = Named & GivenSettings & { readonly issuer: string };

/** Undefined leaves a setting as it is; null takes certificates away. */
export type IssuerUpdateInput = Named & {
  readonly [K in keyof Omit<GivenSettings, "caPem">]?: GivenSettings[K] | undefined;
} & { readonly caPem?: string | null | undefined };

const issuerResource = (input: Named): ResourceName => ({ kind: "issuer", name: input.name });

export const issuerCreate: GlobalMutation<IssuerCreateInput, Issuer> = {
  id: "issuer.create",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: issuerResource,
  async run(context, { name, issuer, ...given }) {
    const { issuers, roles } = context.services;
    if (!isFetchable(issuer, issuers.plainLoopback) || /[?#]/.test(issuer))
      throw new KeysteadError("invalid_body", { field: "issuer", detail: "an https URL without a query" });
    const settings = await settingsOf(context, given);
    const along = await roles.using(rolesOf(settings.rules));
    return shown(context, await issuers.create({ ...settings, name, issuer }, along, context.commit));
  },
  replay: replayIssuer,
};

export const issuerList: GlobalOperation<undefined, readonly Issuer[]> = {
  id: "issuer.list",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: () => undefined,
  run: async (context) =>
    Promise.all((await context.services.issuers.list()).map((issuer) => shown(context, issuer))),
};

export const issuerGet: GlobalOperation<Named, Issuer> = {
  id: "issuer.get",
  scope: "kms:manage_accounts",
  inProject: false,
  resource: issuerResource,
  run: async (context, { name }) => shown(context, await context.services.issuers.byName(name)),
};

export const issuerUpdate: GlobalMutation<IssuerUpdateInput, Issuer> = {
  id: "issuer.update",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: issuerResource,
  async run(context, { name, ...change }) {
    const { issuers, roles } = context.services;
    const before = await issuers.byName(name);
    const { caPem: caBefore, ...others } = before;
    const caPem = change.caPem === undefined ? caBefore : (change.caPem ?? undefined);
    const given = {
      enabled: change.enabled ?? others.enabled,
      audiences: change.audiences ?? others.audiences,
      algorithms: change.algorithms ?? others.algorithms,
      keySource: change.keySource ?? others.keySource,
      subjectClaim: change.subjectClaim ?? others.subjectClaim,
      lifetimeSecondsMax: change.lifetimeSecondsMax ?? others.lifetimeSecondsMax,
      rules: change.rules ?? [],
      ...(caPem === undefined ? {} : { caPem }),
    };
    const checked = await settingsOf(context, given);
    const settings = change.rules === undefined ? { ...checked, rules: others.rules } : checked;
    const along = await roles.using(change.rules === undefined ? [] : rolesOf(settings.rules));
    return shown(context, await issuers.update(before, settings, along, context.commit));
  },
  replay: replayIssuer,
};

export const issuerDelete: GlobalMutation<Named, undefined> = {
  id: "issuer.delete",
  scope: "kms:manage_accounts",
  severity: "WARNING",
  inProject: false,
  resource: issuerResource,
  async run({ services, commit }, { name }) {
    await services.issuers.remove(name, commit);
    return undefined;
  },
  replay: replayNothing,
};

/** The issuer that a change was about, as it is now. */
async function replayIssuer(context: OperationContext, { object }: Remembered): Promise<Issuer> {
  const issuer = await context.services.issuers.byId(object);
  if (issuer === undefined) throw new KeysteadError("issuer_not_found");
  return shown(context, issuer);
}

/** Settings to keep, of those that came: checked, with projects by their ids. */
async function settingsOf(context: OperationContext, given: GivenSettings): Promise<IssuerSettings> {
  assertKeySource(given.keySource, context.services.issuers.plainLoopback);
  if (given.caPem !== undefined && !areCertificates(given.caPem))
    throw new KeysteadError("invalid_body", { field: "ca_pem", detail: "certificates in PEM" });
  const rules = await Promise.all(
    given.rules.map(async (rule) => withProjects(rule, (name) => projectIdOf(context, name))),
  );
  return { ...given, rules };
}

function assertKeySource(source: KeySource, plainLoopback: boolean): void {
  const invalid = (detail: string): never => {
    throw new KeysteadError("invalid_body", { field: "key_source", detail });
  };
  if (source.from === "url" && !isFetchable(source.url, plainLoopback)) invalid("its url is an https URL");
  if (source.from !== "pinned") return;
  if (source.keys.some(isPrivate)) invalid("public keys only: never hand in a private one");
  const usable = parseKeySet({ keys: source.keys }) ?? [];
  if (usable.length !== source.keys.length) invalid("a key is not one that signatures can be verified with");
}

function rolesOf(rules: readonly IssuerRule[]): string[] {
  return rules.flatMap((rule) => ("bindings" in rule ? rule.bindings.map(({ role }) => role) : []));
}

/** An issuer as callers see it: with the projects' names instead of their ids. */
async function shown({ services }: OperationContext, issuer: Issuer): Promise<Issuer> {
  const nameOf = async (project: string): Promise<string> =>
    project === ALL_PROJECTS ? project : ((await services.projects.byId(project))?.name ?? "");
  return { ...issuer, rules: await Promise.all(issuer.rules.map((rule) => withProjects(rule, nameOf))) };
}

async function withProjects(
  rule: IssuerRule,
  translate: (project: string) => Promise<string>,
): Promise<IssuerRule> {
  if (!("bindings" in rule)) return rule;
  const bindings = await Promise.all(
    rule.bindings.map(async (binding) => ({ ...binding, project: await translate(binding.project) })),
  );
  return { ...rule, bindings };
}
