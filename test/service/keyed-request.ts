/** Requests with an idempotency key, and what tells their answers apart. */
import type { Answer, TestService } from "../harness.ts";

/** Who sends it, and under which key. */
export interface Sent {
  readonly key: string;
  readonly token: string;
  readonly project?: string;
}

/** Sends a request under an idempotency key. */
export function post(service: TestService, path: string, body: unknown, sent: Sent): Promise<Answer> {
  const { key, token, project = "default" } = sent;
  return service.request("POST", path, body, { token, project, headers: { "idempotency-key": key } });
}

/** Whether the service says that it did nothing, since it had done it before. */
export function isReplay({ headers }: Answer): boolean {
  return headers.get("idempotency-replayed") === "true";
}

export function codeOf({ status, json }: Answer): [number, unknown] {
  return [status, json["code"]];
}
