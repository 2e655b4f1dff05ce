/**
 * The types of the client's results against the API's description, member by member: a TypeScript file is made of the answers'
 * schemas, in which each has to be assignable to the client's type and the client's to it. The compiler says where it is not.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nativeRoutes } from "../../src/http/native/native-api.ts";
import { openapiDocument } from "../../src/http/openapi.ts";
import { temporaryFolder } from "../harness.ts";

const root = join(import.meta.dirname, "../..");

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Schema | boolean;
}

interface Described {
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, Answer>> }>>>
  >;
}
interface Answer {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

/**
 * What the client gives in another form than as the answer's members with bytes for base64, or as unions of its own that
 * cannot be compared so; the tests of their calls hold them.
 */
const otherForms = new Set([
  "random.generate",
  "key.export",
  // One route with two methods: with the key itself, and without.
  "key.generate_data_key",
  // Conditions and key sources.
  ...["issuer.create", "issuer.list", "issuer.get", "issuer.update"],
]);
/** Names of which the service may have more one day: text to the client. */
const openNames = new Set(["scope", "scopes", "authenticated_by"]);
/** Members that the client leaves out: the same bytes once more, as text. */
const leftOut: Readonly<Record<string, readonly string[]>> = {
  "key.decrypt": ["plaintext"],
  "secret.get": ["value"],
};

const prelude = `
import type { KeysteadClient } from ${JSON.stringify(join(root, "sdk/client.ts"))};
type Snake<S extends string> = S extends \`\${infer H}\${infer T}\`
  ? \`\${H extends Lowercase<H> ? H : \`_\${Lowercase<H>}\`}\${Snake<T>}\` : S;
type Wire<T> = T extends string | number | boolean | null | undefined ? T
  : T extends readonly (infer E)[] ? readonly Wire<E>[]
  : { readonly [K in keyof T as T[K] extends Uint8Array ? \`\${Snake<K & string>}_b64\` : K]: T[K] extends Uint8Array ? string : Wire<T[K]> };
type Result<F extends (...given: never[]) => unknown> = Wire<Awaited<ReturnType<F>>>;
type Both<A, B> = [A] extends [B] ? ([B] extends [A] ? true : "the client's has less") : "the client's has more";
`;

function typeOf(schema: Schema): string {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const choice = schema.anyOf ?? schema.oneOf;
  if (choice !== undefined) return choice.map((one) => `(${typeOf(one)})`).join(" | ");
  if (schema.allOf !== undefined) return schema.allOf.map((one) => `(${typeOf(one)})`).join(" & ");
  if (schema.type === "integer") return "number";
  if (schema.type === "array") return `readonly (${typeOf(schema.items ?? {})})[]`;
  if (schema.type === "object") {
    if (schema.properties === undefined) {
      const { additionalProperties: value } = schema;
      return `Readonly<Record<string, ${typeof value === "object" ? typeOf(value) : "unknown"}>>`;
    }
    const members = Object.entries(schema.properties).map(
      ([name, member]) =>
        `readonly ${JSON.stringify(name)}${schema.required?.includes(name) === true ? "" : "?"}: ${openNames.has(name) ? openTypeOf(member) : typeOf(member)};`,
    );
    return `{ ${members.join(" ")} }`;
  }
  return schema.type ?? "unknown";
}

function openTypeOf({ type }: Schema): string {
  return type === "array" ? "readonly string[]" : "string";
}

/** Lines of assertions, one for each operation that answers in JSON. */
function assertions(): string[] {
  const { paths } = openapiDocument({
    native: nativeRoutes,
    facades: [],
    version: "0",
  }) as unknown as Described;
  return nativeRoutes.flatMap(({ operation: { id }, method, path, status, response }) => {
    if (response === undefined || otherForms.has(id) || id.endsWith("_batch")) return [];
    const schema =
      paths[path]?.[method.toLowerCase()]?.responses[String(status)]?.content?.["application/json"]?.schema;
    assert.ok(schema, id);
    const [noun = "", verb = ""] = id
      .split(".")
      .map((word) => word.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()));
    const owner = noun === "caller" ? "KeysteadClient" : `KeysteadClient["${noun}"]`;
    const without = (leftOut[id] ?? []).map((name) => `"${name}"`).join(" | ") || "never";
    return [
      `export const ${noun}_${verb}: Both<Result<${owner}["${verb}"]>, Omit<${typeOf(schema)}, ${without}>> = true;`,
    ];
  });
}

test("the client's results have the members that the service answers with, of the same types, where they are there", async () => {
  const lines = assertions();
  assert.ok(lines.length > 45, String(lines.length));
  const folder = temporaryFolder();
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  writeFileSync(join(folder, "answers.ts"), [prelude, ...lines].join("\n"));
  // The same with one wrong type, one member too many and one optional that is not: each has to be found.
  const get = lines.find((line) => line.startsWith("export const key_get:")) ?? "";
  const wrong = [
    get.replace('"latest_version": number', '"latest_version": string'),
    get.replace('readonly "latest_version"', 'readonly "more": string; readonly "latest_version"'),
    get.replace('"latest_version":', '"latest_version"?:'),
  ].map((line, i) => line.replace("key_get", `wrong${i}`));
  writeFileSync(join(folder, "wrong.ts"), [prelude, ...wrong].join("\n"));
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { typeRoots: [join(root, "node_modules/@types")] },
    include: [],
    files: ["answers.ts", "wrong.ts"],
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
  const output = await new Promise<string>((resolve) => {
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    execFile("node", [tsc, "-p", folder, "--pretty", "false"], (_error, stdout) => {
      resolve(stdout);
    });
  });
  const found = output.split("\n").filter((line) => line.includes("error"));
  assert.deepEqual(
    found.filter((line) => !line.includes("wrong.ts")),
    [],
  );
  assert.equal(found.length, wrong.length, output);
});
