/**
 * The client of Keystead's native API, over `fetch`, without dependencies.
 *
 *     const keystead = new KeysteadClient({ url: "https://keys.example.net", token });
 *     const { ciphertext } = await keystead.key.encrypt("orders", "hello", { aad: "order 42" });
 *     const { plaintext } = await keystead.key.decrypt("orders", ciphertext, { aad: "order 42" });
 *
 * Calls reject with a KeysteadApiError (the service refused or failed), a KeysteadConnectionError (no answer), a
 * KeysteadCredentialError (no token) or a KeysteadInputError (nothing was sent). Items of a batch fail one by one, as
 * KeysteadItemErrors in their places. `envelope` encrypts in this process and says what it fails with.
 * Invariant: one method an operation, named as the operation is: `key.schedule_deletion` is `key.scheduleDeletion`.
 */
import type { DekCacheOptions } from "./dek-cache.ts";
import { DataKeyCaches, LocalCipher } from "./local-cipher.ts";
import { BarrierApi } from "./barrier-api.ts";
import { AccountApi, JwtApi, ProjectApi, TokenApi } from "./identity-api.ts";
import { IssuerApi } from "./issuer-api.ts";
import { KeyApi } from "./key-api.ts";
import { PolicyApi } from "./policy-api.ts";
import { LoginApi, LoginKeyApi, PasswordApi, SessionApi, SignupApi } from "./login-api.ts";
import { RandomApi } from "./random-api.ts";
import { RoleApi } from "./role-api.ts";
import { SecretApi } from "./secret-api.ts";
import { pathSegment, Transport, type CallOptions, type ClientOptions } from "./transport.ts";
import type { Caller, Health } from "./wire.ts";

export interface KeysteadClientOptions extends ClientOptions {
  /** The limits of the data keys in memory: 15 minutes, 2^30 uses, 1 TiB and 1000 keys unless set. Any zero means none. */
  readonly dataKeyCache?: Partial<DekCacheOptions> | undefined;
}

export class KeysteadClient {
  readonly key: KeyApi;
  readonly secret: SecretApi;
  readonly project: ProjectApi;
  readonly account: AccountApi;
  readonly token: TokenApi;
  readonly jwt: JwtApi;
  readonly role: RoleApi;
  readonly issuer: IssuerApi;
  readonly policy: PolicyApi;
  readonly login: LoginApi;
  readonly session: SessionApi;
  readonly signup: SignupApi;
  readonly password: PasswordApi;
  readonly loginKey: LoginKeyApi;
  readonly barrier: BarrierApi;
  readonly random: RandomApi;
  /** The data keys of local encryption that are in memory. */
  readonly dataKeys: DataKeyCaches;
  readonly #transport: Transport;

  /** @throws KeysteadInputError where an option cannot be sent */
  constructor(options: KeysteadClientOptions = {}) {
    const transport = new Transport(options);
    this.key = new KeyApi(transport);
    this.secret = new SecretApi(transport);
    this.project = new ProjectApi(transport);
    this.account = new AccountApi(transport);
    this.token = new TokenApi(transport);
    this.jwt = new JwtApi(transport);
    this.role = new RoleApi(transport);
    this.issuer = new IssuerApi(transport);
    this.policy = new PolicyApi(transport);
    this.login = new LoginApi(transport);
    this.session = new SessionApi(transport);
    this.signup = new SignupApi(transport);
    this.password = new PasswordApi(transport);
    this.loginKey = new LoginKeyApi(transport);
    this.barrier = new BarrierApi(transport);
    this.random = new RandomApi(transport);
    this.dataKeys = new DataKeyCaches(options.dataKeyCache);
    this.#transport = transport;
  }

  /**
   * Encryption in this process, under data keys that the key wraps. Ciphers of one client share their data keys.
   * @throws KeysteadInputError for what is no name
   */
  envelope(keyName: string): LocalCipher {
    return new LocalCipher(this.key, pathSegment(keyName), this.#transport.project, this.dataKeys);
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
