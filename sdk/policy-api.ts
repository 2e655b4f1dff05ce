/** The call on decisions: `client.policy`. */
import type { CallOptions, Transport } from "./transport.ts";
import type { PolicyExplanation } from "./wire.ts";

export interface ExplainOptions extends CallOptions {
  /** An account's name; the caller itself unless set. */
  readonly account?: string | undefined;
  /** `default` unless set. */
  readonly project?: string | undefined;
  /** A key's or secret's name, or a key's id. */
  readonly resource?: string | undefined;
}

export class PolicyApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Whether an account may do something, and by what.
   * @param action an operation's id, such as `key.rotate`
   */
  explain(
    action: string,
    { account, project, resource, ...call }: ExplainOptions = {},
  ): Promise<PolicyExplanation> {
    const body = { action, account, project, resource };
    return this.#transport.send({ method: "POST", path: "/v1/can", body, repeatable: true }, call);
  }
}
