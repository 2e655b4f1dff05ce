/** The operation that explains decisions: may this account do that, and by what. */
import { KeysteadError } from "../errors.ts";
import type { Caller } from "../identity/caller.ts";
import { isKeyId } from "../keyring/keyring.ts";
import { explain, hasPart, type Binding, type Reason } from "../policy/decide.ts";
import type { OwnRoles, Scope } from "../policy/roles.ts";
import { shownBindings, type ShownBinding } from "./identity-operations.ts";
import type { GlobalOperation, OperationContext, OperationFacts } from "./operation.ts";

export interface ExplainInput {
  /** An account's name; undefined for the caller itself. */
  readonly account: string | undefined;
  /** An operation's id. */
  readonly action: string;
  /** A project's name, for an operation in a project. */
  readonly project: string;
  /** A key's or secret's name, or a key's id; undefined for the project as a whole. */
  readonly resource: string | undefined;
}

/** Why, in one word. */
export const verdicts = [
  "allowed",
  "any_caller",
  "denied",
  "role_missing",
  "nothing_allows",
  "no_part",
  "caller_kind",
  "account_disabled",
] as const;
export type Verdict = (typeof verdicts)[number];

export interface ShownReason {
  readonly effect: Reason["effect"];
  readonly binding: ShownBinding;
  readonly statement: number | undefined;
}

export interface PolicyExplanation {
  readonly allowed: boolean;
  readonly verdict: Verdict;
  readonly caller: string;
  readonly scope: Scope | undefined;
  readonly reasons: readonly ShownReason[];
}

type Who = Pick<Caller, "kind" | "label" | "bindings"> & { readonly isDisabled?: boolean };

export const policyExplain: GlobalOperation<ExplainInput, PolicyExplanation> = {
  id: "policy.explain",
  // Everybody may ask about themselves; `run` asks for kms:manage_accounts where it is about another.
  scope: undefined,
  inProject: false,
  resource: ({ account }) => (account === undefined ? undefined : { kind: "account", name: account }),
  async run(context, input) {
    const who = await whoIsMeant(context, input.account);
    const operation = context.services.operations.get(input.action);
    if (operation === undefined)
      throw new KeysteadError("invalid_body", { field: "action", detail: "no operation's id" });
    const ownRoles = await context.services.roles.neededFor(who.bindings);
    const { verdict, reasons } =
      who.isDisabled === true
        ? ({ verdict: "account_disabled", reasons: [] } as const)
        : await judge(context, who, operation, input, ownRoles);
    const bindings = await shownBindings(
      context,
      reasons.map(({ binding }) => binding),
    );
    return {
      allowed: verdict === "allowed" || verdict === "any_caller",
      verdict,
      caller: who.label,
      scope: operation.scope,
      reasons: reasons.flatMap(({ effect, statement }, i) => {
        const binding = bindings[i];
        return binding === undefined ? [] : [{ effect, binding, statement }];
      }),
    };
  },
};

interface Judgement {
  readonly verdict: Verdict;
  readonly reasons: readonly Reason[];
}

/** The same questions as the door's, in the same order. */
async function judge(
  context: OperationContext,
  who: Who,
  { scope, inProject, callerKinds }: OperationFacts,
  { project: projectName, resource, action }: ExplainInput,
  ownRoles: OwnRoles,
): Promise<Judgement> {
  const { projects } = context.services;
  const no = (verdict: Verdict): Judgement => ({ verdict, reasons: [] });
  const project = inProject ? await projects.byName(projectName) : undefined;
  if (inProject && (project === undefined || !hasPart(who.bindings, project.id, ownRoles))) {
    const mayKnow = context.allows("kms:manage_accounts", { project: undefined, name: undefined });
    if (project === undefined || !mayKnow) throw new KeysteadError("project_not_found");
    const missing = who.bindings.filter((binding) => concernsMissing(binding, project.id, ownRoles));
    return missing.length === 0
      ? no("no_part")
      : { verdict: "role_missing", reasons: missing.map((binding) => ({ effect: "role_missing", binding })) };
  }
  const isKind = callerKinds === undefined || callerKinds.includes(who.kind);
  if (scope === undefined) return no(isKind ? "any_caller" : "caller_kind");
  // A credential has no name: the door asks about all of them.
  const wanted = action.startsWith("credential.") ? "" : resource;
  const name =
    project !== undefined && action.startsWith("key.") && resource !== undefined && isKeyId(resource)
      ? await keyName(context, project.id, resource)
      : wanted;
  const { allowed, reasons } = explain(who.bindings, scope, { project: project?.id, name }, ownRoles);
  if (!allowed) {
    const first = reasons[0]?.effect;
    const verdict =
      first === undefined
        ? "nothing_allows"
        : reasons.some(({ effect }) => effect === "deny")
          ? "denied"
          : "role_missing";
    return { verdict, reasons };
  }
  return { verdict: isKind ? "allowed" : "caller_kind", reasons };
}

function concernsMissing(binding: Binding, project: string, ownRoles: OwnRoles): boolean {
  return explain([binding], "kms:read_key", { project, name: undefined }, ownRoles).reasons.some(
    ({ effect }) => effect === "role_missing",
  );
}

/** The name that bindings speak of; "" for an id that leads nowhere, as at the door. */
async function keyName({ services }: OperationContext, projectId: string, id: string): Promise<string> {
  try {
    return (await services.keyring.get(projectId, id)).name;
  } catch (thrown) {
    if (thrown instanceof KeysteadError && thrown.code === "key_not_found") return "";
    throw thrown;
  }
}

/** Throws `forbidden` where the caller asks about another and may not, whether or not that one is there. */
async function whoIsMeant(context: OperationContext, account: string | undefined): Promise<Who> {
  const { caller, services } = context;
  const own = caller.accountId !== undefined && caller.label === `${caller.kind}:${account ?? ""}`;
  if (account === undefined || own) return caller;
  if (!context.allows("kms:manage_accounts", { project: undefined, name: account }))
    throw new KeysteadError("forbidden");
  const { kind, name, bindings, state } = await services.accounts.byName(account);
  return { kind, label: `${kind}:${name}`, bindings, isDisabled: state === "disabled" };
}
