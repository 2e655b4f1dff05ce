/**
 * The client of Keystead's native API, over `fetch`, without dependencies.
 *
 *     const keystead = new KeysteadClient({ url: "https://keys.example.net", token });
 *     const { ciphertext } = await keystead.key.encrypt("orders", "hello", { aad: "order 42" });
 *     const { plaintext } = await keystead.key.decrypt("orders", ciphertext, { aad: "order 42" });
 *
 * Calls reject with a KeysteadApiError (the service refused or failed), a KeysteadConnectionError (no answer) or a
 * KeysteadInputError (nothing was sent). Items of a batch fail one by one, as KeysteadItemErrors in their places.
 * Invariant: one method an operation, named as the operation is: `key.schedule_deletion` is `key.scheduleDeletion`.
 */
import { BarrierApi } from "./barrier-api.ts";
import { AccountApi, JwtApi, ProjectApi, TokenApi } from "./identity-api.ts";
import { KeyApi } from "./key-api.ts";
import { RandomApi } from "./random-api.ts";
import { SecretApi } from "./secret-api.ts";
import { Transport, type CallOptions, type ClientOptions } from "./transport.ts";
import type { Caller, Health } from "./wire.ts";

export class KeysteadClient {
  readonly key: KeyApi;
  readonly secret: SecretApi;
  readonly project: ProjectApi;
  readonly account: AccountApi;
  readonly token: TokenApi;
  readonly jwt: JwtApi;
  readonly barrier: BarrierApi;
  readonly random: RandomApi;
  readonly #transport: Transport;

  /** @throws KeysteadInputError where an option cannot be sent */
  constructor(options: ClientOptions = {}) {
    const transport = new Transport(options);
    this.key = new KeyApi(transport);
    this.secret = new SecretApi(transport);
    this.project = new ProjectApi(transport);
    this.account = new AccountApi(transport);
    this.token = new TokenApi(transport);
    this.jwt = new JwtApi(transport);
    this.barrier = new BarrierApi(transport);
    this.random = new RandomApi(transport);
    this.#transport = transport;
  }

  /** Who the caller is, and what it is bound to. */
  whoami(call: CallOptions = {}): Promise<Caller> {
    return this.#transport.send({ method: "GET", path: "/v1/whoami" }, call);
  }

  /** Whether the service can do its work, check by check. Needs no token; a degraded service is an answer, not an error. */
  health(call: CallOptions = {}): Promise<Health> {
    return this.#transport.send({ method: "GET", path: "/health", alsoResult: 503 }, call);
  }
}
