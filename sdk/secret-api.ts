/** The calls on secrets: `client.secret`. */
import type { PageOptions } from "./key-api.ts";
import type { VersionOptions } from "./key-calls.ts";
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";
import { bytesField, fromBase64 } from "./wire-bytes.ts";
import type { Page, SecretListed, SecretStored, SecretValue } from "./wire.ts";

export class SecretApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Stores a secret, or a new version of it. */
  put(name: string, value: string | Uint8Array, call: CallOptions = {}): Promise<SecretStored> {
    const body = { name, ...bytesField("value", value) };
    return this.#transport.send({ method: "POST", path: "/v1/secrets", body }, call);
  }

  async get(name: string, { version, ...call }: VersionOptions = {}): Promise<SecretValue> {
    const answer = await this.#transport.send<SecretStored & { value_b64: string }>(
      { method: "GET", path: `/v1/secrets/${pathSegment(name)}`, query: { version } },
      call,
    );
    return {
      name: answer.name,
      created_at: answer.created_at,
      version: answer.version,
      value: fromBase64(answer.value_b64),
    };
  }

  /** One page of the project's secrets, by name and without values. */
  list({ limit, cursor, ...call }: PageOptions = {}): Promise<Page<"secrets", SecretListed>> {
    return this.#transport.send({ method: "GET", path: "/v1/secrets", query: { limit, cursor } }, call);
  }

  /** Deletes a secret with all its versions. */
  delete(name: string, call: CallOptions = {}): Promise<void> {
    return this.#transport.send({ method: "DELETE", path: `/v1/secrets/${pathSegment(name)}` }, call);
  }
}
