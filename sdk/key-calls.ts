/** What all calls on one key share: the way to its path. */
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";

export interface VersionOptions extends CallOptions {
  /** The latest unless set. */
  readonly version?: number | undefined;
}

export class KeyCalls {
  protected readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  /** Sends a use of a key, which changes nothing, to the key's own path and what follows it. */
  protected use<T>(
    name: string,
    action: string,
    body: Readonly<Record<string, unknown>>,
    call: CallOptions,
  ): Promise<T> {
    const path = `${keyPath(name)}/${action}`;
    return this.transport.send({ method: "POST", path, body, repeatable: true }, call);
  }

  /** Sends a change of a key likewise. */
  protected post<T>(
    name: string,
    action: string,
    body: Readonly<Record<string, unknown>>,
    call: CallOptions,
  ): Promise<T> {
    return this.transport.send({ method: "POST", path: `${keyPath(name)}/${action}`, body }, call);
  }
}

/** A key's own path. Throws KeysteadInputError for what is no name. */
export function keyPath(name: string): string {
  return `/v1/keys/${pathSegment(name)}`;
}
