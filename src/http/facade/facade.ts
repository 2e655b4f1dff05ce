/**
 * A facade: another system's API over the operations of this service. Its rows are data: a place on the wire, the schemas
 * of what comes and goes, and the operations that are done in between.
 * Invariant: a facade translates and nothing else. It decides nothing, and reaches what there is through `FacadeCall` only.
 */
import type { z } from "zod";
import type { KeysteadError } from "../../errors.ts";
import type { Operation } from "../../service/operation.ts";
import type { RouteExample } from "../route-example.ts";
import type { HttpMethod, WireResponse } from "../wire.ts";
import type { FacadeCall } from "./facade-call.ts";

export interface Facade {
  /** Its name in KEYSTEAD_FACADES. */
  readonly name: string;
  /** Its group in the API's description; its name unless given. */
  readonly title?: string;
  /** What it is, in one sentence, for the API's description. */
  readonly description: string;
  /** Its rows ask for credentials in dev mode as well, but for open ones. */
  readonly needsCredentials?: true;
  /** The paths that are its own: one that ends in `/` stands for all below it, another for itself. */
  readonly owns: readonly string[];
  readonly routes: readonly AnyFacadeRoute[];
  /** Its clients may choose the project by the native API's header. */
  readonly takesProject?: boolean;
  /** Headers of its own that its rows look at, but open ones, as OpenAPI has parameters. */
  readonly headers?: readonly Readonly<Record<string, unknown>>[];
  /**
   * Values to start from, by `rowKey`. Done in the order of this table in a fresh dev mode each works, once the values of
   * earlier answers stand where they belong.
   */
  readonly examples?: Readonly<Record<string, RouteExample>>;
  /** What its refusals look like, for the API's description; no schema where they are plain text. */
  readonly errors?: { readonly contentType: string; readonly schema?: z.ZodType };
  /** What was refused or failed, as this API says it: also where no row matches a path of its own. */
  refusal(error: KeysteadError, requestId: string): WireResponse;
}

/** What came over the wire, held to the row's schemas. */
export interface Wire<P, Q, B> {
  readonly params: P;
  readonly query: Q;
  readonly body: B;
}

export interface FacadeRoute<P, Q, B> {
  readonly method: HttpMethod;
  readonly path: string;
  /** The same at other paths: older spellings. */
  readonly alsoAt?: readonly string[];
  readonly summary: string;
  /** What it is for, where it is more than one: refusals of what does not fit the schemas are recorded under it. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- operations of all kinds; only its id is looked at
  readonly operation: Operation<any, any> | undefined;
  /** Asks for no credentials: the caller is anonymous. */
  readonly open?: boolean;
  readonly status: 200 | 201 | 204;
  readonly params?: z.ZodType<P>;
  readonly query?: z.ZodType<Q>;
  readonly body?: z.ZodType<B>;
  readonly bodyBytesMax?: number;
  /** The schema of the answer; absent where there is none. */
  readonly response?: z.ZodType;
  /** Does it; what it resolves with is the answer as JSON, undefined stands for no body. */
  serve(call: FacadeCall, wire: Wire<P, Q, B>): Promise<unknown>;
}

/** A row whose types are checked and then forgotten. */
export type AnyFacadeRoute = FacadeRoute<unknown, unknown, unknown>;

/** Checks a row's types. */
export function facadeRoute<P, Q, B>(route: FacadeRoute<P, Q, B>): AnyFacadeRoute {
  return route;
}

/** What tells a row from the others of its facade. */
export function rowKey({ method, path }: Pick<AnyFacadeRoute, "method" | "path">): string {
  return `${method} ${path}`;
}

/** Whether a path is one of the facade's own, served or not. */
export function ownsPath({ owns }: Pick<Facade, "owns">, path: string): boolean {
  return owns.some((own) => (own.endsWith("/") ? path.startsWith(own) : path === own));
}
