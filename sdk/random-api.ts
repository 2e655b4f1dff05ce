/** The call for random bytes: `client.random`. */
import type { CallOptions, Transport } from "./transport.ts";
import { fromBase64 } from "./wire-bytes.ts";

export class RandomApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** So many random bytes, at most 4096; 32 unless set. */
  async generate(bytes?: number, call: CallOptions = {}): Promise<Uint8Array> {
    const answer = await this.#transport.send<{ random_b64: string }>(
      { method: "POST", path: "/v1/random", body: { bytes }, repeatable: true },
      call,
    );
    return fromBase64(answer.random_b64);
  }
}
