/** The calls on external issuers: `client.issuer`. */
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";
import type { Issuer, IssuerAlgorithm, IssuerKeySource, IssuerRule } from "./wire.ts";

export interface IssuerSettings {
  /** A token has to name one of these in `aud`. */
  readonly audiences?: readonly string[] | undefined;
  /** What its tokens are worth. */
  readonly rules?: readonly IssuerRule[] | undefined;
  readonly enabled?: boolean | undefined;
  /** `RS256`, `ES256` and `EdDSA` unless set. */
  readonly algorithms?: readonly IssuerAlgorithm[] | undefined;
  /** OpenID Connect discovery unless set. */
  readonly keySource?: IssuerKeySource | undefined;
  /** `sub` unless set. */
  readonly subjectClaim?: string | undefined;
  /** The longest life of a token; a day unless set. */
  readonly maxLifetimeSeconds?: number | undefined;
}

export interface IssuerCreateOptions extends IssuerSettings, CallOptions {
  /** The claim `iss` of its tokens, letter by letter. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly rules: readonly IssuerRule[];
  /** Certificates in PEM by which the issuer's server is trusted, in the place of the public ones. */
  readonly caPem?: string | undefined;
}

export interface IssuerUpdateOptions extends IssuerSettings, CallOptions {
  /** Null takes them away. */
  readonly caPem?: string | null | undefined;
}

export class IssuerApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Takes an issuer's tokens from now on. */
  create(name: string, options: IssuerCreateOptions): Promise<Issuer> {
    const { issuer } = options;
    const body = { name, issuer, ...settingsBody(options) };
    return this.#transport.send({ method: "POST", path: "/v1/issuers", body }, callOf(options));
  }

  list(call: CallOptions = {}): Promise<{ readonly issuers: readonly Issuer[] }> {
    return this.#transport.send({ method: "GET", path: "/v1/issuers" }, call);
  }

  get(name: string, call: CallOptions = {}): Promise<Issuer> {
    return this.#transport.send({ method: "GET", path: issuerPath(name) }, call);
  }

  /** Changes what is given; a list takes the place of the whole list before. */
  update(name: string, options: IssuerUpdateOptions): Promise<Issuer> {
    const body = settingsBody(options);
    return this.#transport.send({ method: "PATCH", path: issuerPath(name), body }, callOf(options));
  }

  /** Refuses the issuer's tokens from now on. */
  delete(name: string, call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "DELETE", path: issuerPath(name) }, call);
  }
}

function settingsBody(options: IssuerUpdateOptions): Record<string, unknown> {
  const { audiences, rules, enabled, algorithms, keySource, caPem } = options;
  return {
    ...{ audiences, rules, enabled, algorithms },
    key_source: keySource,
    ca_pem: caPem,
    subject_claim: options.subjectClaim,
    max_lifetime_seconds: options.maxLifetimeSeconds,
  };
}

function callOf({ signal, timeoutMs, idempotencyKey }: CallOptions): CallOptions {
  return { signal, timeoutMs, idempotencyKey };
}

function issuerPath(name: string): string {
  return `/v1/issuers/${pathSegment(name)}`;
}
