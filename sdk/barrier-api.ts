/** The calls on the keys that seal the service's records: `client.barrier`. */
import type { CallOptions, Transport } from "./transport.ts";
import type { BarrierStatus } from "./wire.ts";

export class BarrierApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Which keys seal the records, and how many records each older one still seals. */
  status(call: CallOptions = {}): Promise<BarrierStatus> {
    return this.#transport.send({ method: "GET", path: "/v1/barrier" }, call);
  }

  /** Makes a new key that seals from now on. The service seals the records of before anew, while it serves. */
  rotate(call: CallOptions = {}): Promise<BarrierStatus> {
    return this.#transport.send({ method: "POST", path: "/v1/barrier/rotate", body: {} }, call);
  }
}
