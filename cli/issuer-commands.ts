/** `keystead issuer …`: who else's tokens are taken, and what they are worth. */
import type { Command } from "commander";
import {
  issuerAlgorithms,
  type Issuer,
  type IssuerAlgorithm,
  type IssuerKeySource,
  type IssuerRule,
} from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { parseDurationMs } from "./duration.ts";
import { InputFailed, readInputFile } from "./input.ts";
import type { Fields } from "./output.ts";
import { onePage } from "./role-commands.ts";
import { UsageError } from "./usage-error.ts";

interface SettingFlags {
  readonly audience?: readonly string[];
  readonly rules?: string;
  readonly algorithm?: readonly IssuerAlgorithm[];
  readonly discovery?: true;
  readonly jwksUrl?: string;
  readonly jwks?: string;
  readonly ca?: string;
  readonly subjectClaim?: string;
  readonly maxLifetime?: string;
}

const rulesHelp = `
The rules' file holds a JSON list. Each rule says when it counts, and what a token is worth then: role bindings, or an
account to act as. Bindings of all rules that count add up; a token that no rule fits is refused.
  [{ "when": [{ "claim": "sub", "equals": "system:serviceaccount:shop:api" }],
     "bindings": [{ "role": "operator", "project": "shop", "pattern": "api-*" }] }]
A condition is equals, or matches with * for any run of characters. A claim that lies deeper is named by a JSON pointer:
/kubernetes.io/namespace. Of a list of values one has to fit.`;

/** Adds the group. */
export function addIssuerCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("issuer")
    .description(
      "let in whoever comes with a token of Kubernetes, of a CI service or of an OpenID Connect provider",
    );

  withSettings(group.command("create").description("take an issuer's tokens from now on"))
    .argument("<name>", "what it is called here: lower-case letters, digits, `.`, `_`, `-`")
    .requiredOption("--issuer <url>", "the claim iss of its tokens, letter by letter")
    .addHelpText("after", rulesHelp)
    .action(async (name: string, { issuer, ...flags }: SettingFlags & { issuer: string }) => {
      const { audiences, rules, ...settings } = settingsOf(flags);
      if (audiences === undefined || rules === undefined)
        throw new UsageError("an issuer needs --audience and --rules");
      const options = { ...settings, issuer, audiences, rules, caPem: caOf(flags) };
      const made = await context.client().issuer.create(name, options);
      await context.output().record(issuerFields(made), made);
    });

  group
    .command("list")
    .description("list the issuers")
    .action(async () => {
      const { issuers } = await context.client().issuer.list();
      await context.output().list("issuers", onePage(issuers), ({ name, issuer, enabled, rules }) => ({
        ...{ name, issuer, enabled },
        rules: rules.length,
      }));
    });

  group
    .command("get")
    .description("show an issuer with its rules (with --json whole, for a file to edit)")
    .argument("<name>")
    .action(async (name: string) => {
      const issuer = await context.client().issuer.get(name);
      await context.output().record(issuerFields(issuer), issuer);
    });

  withSettings(
    group.command("update").description("change an issuer; a list takes the place of the whole list before"),
  )
    .argument("<name>")
    .option("--no-ca", "trust the public certificate authorities again")
    .addHelpText("after", rulesHelp)
    .action(async (name: string, flags: Omit<SettingFlags, "ca"> & { ca?: string | boolean }) => {
      const { ca, ...rest } = flags;
      const caPem = ca === false ? null : typeof ca === "string" ? caOf({ ca }) : undefined;
      const settings = { ...settingsOf(rest), caPem };
      if (Object.values(settings).every((setting) => setting === undefined))
        throw new UsageError("say what to change: see keystead issuer update --help");
      const issuer = await context.client().issuer.update(name, settings);
      await context.output().record(issuerFields(issuer), issuer);
    });

  for (const [word, enabled] of [
    ["enable", true],
    ["disable", false],
  ] as const) {
    group
      .command(word)
      .description(enabled ? "take its tokens again" : "refuse its tokens, and keep its settings")
      .argument("<name>")
      .action(async (name: string) => {
        const issuer = await context.client().issuer.update(name, { enabled });
        await context.output().record(issuerFields(issuer), issuer);
      });
  }

  group
    .command("delete")
    .description("refuse its tokens, and forget it")
    .argument("<name>")
    .action(async (name: string) => {
      await context.client().issuer.delete(name);
      await context.output().done(`deleted ${name}`, { status: "deleted", name });
    });
}

function withSettings(command: Command): Command {
  const many = (text: string, before: unknown): string[] => [
    ...(Array.isArray(before) ? (before as string[]) : []),
    text,
  ];
  return command
    .option("--audience <text>", "what its tokens name in aud (may come more than once)", many)
    .addOption(command.createOption("--rules <path>", "a file of rules: see below"))
    .addOption(
      command
        .createOption("--algorithm <name...>", "RS256, ES256 and EdDSA unless set")
        .choices(issuerAlgorithms),
    )
    .option(
      "--discovery",
      "find its keys through OpenID Connect discovery (as it is unless another way is set)",
    )
    .option("--jwks-url <url>", "where its keys are, in the place of discovery")
    .option("--jwks <path>", "its keys themselves, a JSON Web Key Set: nothing is fetched")
    .option("--ca <path>", "certificates (PEM) to trust its server by, in the place of the public ones")
    .option("--subject-claim <claim>", "who a token is for (sub unless set)")
    .option("--max-lifetime <duration>", "the longest life of a token (24h unless set)");
}

interface Settings {
  readonly audiences: readonly string[] | undefined;
  readonly rules: readonly IssuerRule[] | undefined;
  readonly algorithms: readonly IssuerAlgorithm[] | undefined;
  readonly keySource: IssuerKeySource | undefined;
  readonly subjectClaim: string | undefined;
  readonly maxLifetimeSeconds: number | undefined;
}

function settingsOf(flags: SettingFlags): Settings {
  const { audience, rules, algorithm, subjectClaim, maxLifetime } = flags;
  return {
    audiences: audience,
    rules: rules === undefined ? undefined : (jsonFile(rules, "the rules") as readonly IssuerRule[]),
    algorithms: algorithm,
    keySource: keySourceOf(flags),
    subjectClaim,
    maxLifetimeSeconds:
      maxLifetime === undefined ? undefined : Math.ceil(parseDurationMs(maxLifetime) / 1000),
  };
}

function keySourceOf({ discovery, jwksUrl, jwks }: SettingFlags): IssuerKeySource | undefined {
  if ([discovery, jwksUrl, jwks].filter((flag) => flag !== undefined).length > 1)
    throw new UsageError("its keys come one way: --discovery, --jwks-url or --jwks");
  if (discovery === true) return { from: "discovery" };
  if (jwksUrl !== undefined) return { from: "url", url: jwksUrl };
  if (jwks === undefined) return undefined;
  return { from: "pinned", jwks: jsonFile(jwks, "the keys") as { keys: Record<string, unknown>[] } };
}

function caOf({ ca }: SettingFlags): string | undefined {
  return ca === undefined ? undefined : readInputFile(ca, "the certificates").toString("utf8");
}

function jsonFile(path: string, what: string): unknown {
  try {
    return JSON.parse(readInputFile(path, what).toString("utf8")) as unknown;
  } catch (error) {
    if (error instanceof InputFailed) throw error;
    // The parser's own message quotes the file.
    throw new InputFailed(`the file for ${what} is not JSON`);
  }
}

function issuerFields(issuer: Issuer): Fields {
  const { name, enabled, audiences, algorithms, key_source: source, rules } = issuer;
  return {
    name,
    issuer: issuer.issuer,
    enabled,
    audiences: audiences.join(" "),
    algorithms: algorithms.join(" "),
    keys: source.from === "url" ? source.url : source.from,
    own_ca: issuer.ca_pem !== undefined,
    subject_claim: issuer.subject_claim,
    max_lifetime_seconds: issuer.max_lifetime_seconds,
    ...Object.fromEntries(rules.map((rule, i) => [`rule ${i + 1}`, ruleText(rule)])),
  };
}

function ruleText(rule: IssuerRule): string {
  const when = rule.when.map((condition) =>
    "equals" in condition
      ? `${condition.claim} = ${String(condition.equals)}`
      : `${condition.claim} ~ ${condition.matches}`,
  );
  const worth =
    "account" in rule
      ? [`acts as ${rule.account}`]
      : rule.bindings.map(
          ({ role, project, pattern }) =>
            `${role} in ${project === "*" ? "all projects" : project}${pattern === undefined ? "" : ` for ${pattern}`}`,
        );
  return `${when.join(" and ")}: ${worth.join(", ")}`;
}
