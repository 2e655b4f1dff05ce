/**
 * A row of the native API: one operation with its place on the wire. From these rows the API is served, its OpenAPI
 * document is made and its tests are enumerated.
 * Invariant: path, query and body are each held to a strict schema; what no schema names is refused.
 */
import { z } from "zod";
import { KeysteadError } from "../../errors.ts";
import type { Operation } from "../../service/operation.ts";
import { namesPrototype } from "../json-body.ts";
import type { HttpMethod } from "../wire.ts";

export interface NativeRoute<P, Q, B, I, O> {
  readonly operation: Operation<I, O>;
  readonly method: HttpMethod;
  readonly path: string;
  /** The same operation at other paths: BunKMS's own spellings and the resource-shaped ones. */
  readonly alsoAt?: readonly string[];
  readonly summary: string;
  readonly status: 200 | 201 | 204;
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  readonly bodyBytesMax?: number;
  /** The schema of the answer; absent where there is none (204). */
  readonly response?: z.ZodType;
  /** Served on the internal listener only, unless a setting says otherwise. */
  readonly internalOnly?: boolean;
  input(wire: { readonly params: P; readonly query: Q; readonly body: B }): I;
  output(result: O, input: I): unknown;
  /** The answer as JSON text where `output` and a serialiser would cost the hot path too much; the same value. */
  outputText?(result: O, input: I): string;
  /** Takes the place of `body` where a schema would cost too much; holds the value to the same shape. */
  parseBody?(value: unknown): B;
  /** `application/octet-stream` in the place of JSON, in the request and in the answer. */
  readonly binary?: BinaryForm<P, I, O>;
}

export interface BinaryForm<P, I, O> {
  /** What the bytes are, for the API's description. */
  readonly request: string;
  readonly answer: string;
  input(wire: { readonly params: P; readonly bytes: Uint8Array }): I;
  output(result: O, input: I): Uint8Array<ArrayBuffer>;
}

/** A row whose types are checked and then forgotten: the table holds rows of all operations. */
export type AnyNativeRoute = NativeRoute<unknown, unknown, unknown, unknown, unknown>;

/** Checks a row's types. */
export function nativeRoute<P, Q, B, I, O>(route: NativeRoute<P, Q, B, I, O>): AnyNativeRoute {
  return route;
}

export const BODY_BYTES_DEFAULT = 64 * 1024;

/** Holds a value to a schema. Throws `unknown_field`, `invalid_name` or `invalid_body`, naming our field, never the value. */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown): T {
  if (fitsTexts(schema, value)) return value as T;
  if (namesPrototype(value)) throw new KeysteadError("unknown_field");
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") {
    // Its message names the field, which is the caller's text.
    if (issue.path.length > 0) throw new KeysteadError("unknown_field");
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const detail = known.length === 0 ? "it takes no fields" : `its fields are ${known.join(", ")}`;
    throw new KeysteadError("unknown_field", { detail });
  }
  const first = issue?.path[0];
  const isOurs = schema instanceof z.ZodObject && typeof first === "string" && first in schema.shape;
  const code = isOurs && first === "name" && issue?.code !== "invalid_type" ? "invalid_name" : "invalid_body";
  const detail = issue === undefined || issue.path.length > 1 ? undefined : issue.message;
  throw new KeysteadError(code, {
    ...(isOurs ? { field: first } : {}),
    ...(detail === undefined ? {} : { detail }),
  });
}

/** For each schema of a flat object without required fields: its texts that no further rule holds. */
const textFields = new WeakMap<z.ZodType, ReadonlySet<string> | null>();

/** Whether a value is made of such texts alone: what every use of a key sends, without the library's way. */
function fitsTexts(schema: z.ZodType, value: unknown): boolean {
  let names = textFields.get(schema);
  if (names === undefined) {
    names = textFieldsOf(schema);
    textFields.set(schema, names);
  }
  if (names === null || typeof value !== "object" || value === null || Array.isArray(value)) return false;
  for (const name in value) {
    if (!names.has(name) || typeof (value as Record<string, unknown>)[name] !== "string") return false;
  }
  return true;
}

function textFieldsOf(schema: z.ZodType): ReadonlySet<string> | null {
  if (!(schema instanceof z.ZodObject) || !(schema.def.catchall instanceof z.ZodNever)) return null;
  const texts = new Set<string>();
  for (const [name, field] of Object.entries<unknown>(schema.shape)) {
    if (!(field instanceof z.ZodOptional)) return null;
    const inner: unknown = field.unwrap();
    const isText =
      inner instanceof z.ZodString &&
      !(inner instanceof z.ZodStringFormat) &&
      (inner.def.checks ?? []).length === 0;
    if (isText) texts.add(name);
  }
  return texts;
}
