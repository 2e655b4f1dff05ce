/**
 * What running vectors through the service takes: keys imported and used over HTTP, verdicts compared, counts kept.
 * Invariant: a case that ran agreed or is in the list of the wrong ones; one that did not run is counted with its reason.
 */
import assert from "node:assert/strict";
import type { Answer, TestService } from "../harness.ts";
import { Tally } from "./vector-file.ts";

/** How many requests are under way together. */
export const AT_ONCE = 16;
export const BAD_LENGTH = "the key has the wrong length for its type";
const BATCH_ITEMS_MAX = 1000;

/** What every case of Project Wycheproof has. */
export interface Verdict {
  readonly tcId: number;
  readonly comment?: string;
  readonly flags: readonly string[];
  readonly result: "valid" | "invalid" | "acceptable";
}

export interface VectorGroup<C> {
  readonly cases: readonly C[];
}

export interface VectorKey {
  readonly type: string;
  readonly purpose?: string;
  readonly exportable?: boolean;
}

/** Collects what happened to the cases of one file. */
export class Outcome {
  readonly ran = new Tally();
  readonly skipped = new Tally();
  readonly wrong: string[] = [];

  judge(one: Verdict, agrees: boolean, answer: unknown, ranAs: string = one.result): void {
    if (!agrees) this.wrong.push(`${described(one)}: ${JSON.stringify(answer)}`);
    this.ran.add(ranAs);
  }

  /** Nothing was wrong, and these numbers of cases ran and were skipped. */
  assertIs(ran: Record<string, number>, skipped: Record<string, number> = {}): void {
    assert.deepEqual(this.wrong, []);
    assert.deepEqual(this.ran.counts, ran);
    assert.deepEqual(this.skipped.counts, skipped);
  }
}

/** Imports a key given in hexadecimal. */
export function importKey(
  service: TestService,
  name: string,
  key: VectorKey,
  format: string,
  keyHex: string,
): Promise<Answer> {
  return service.request("POST", `/v1/keys/${name}/import`, { ...key, format, material_b64: base64(keyHex) });
}

/** As `importKey`, for a key that must be taken. */
export async function importGoodKey(...key: Parameters<typeof importKey>): Promise<void> {
  const answer = await importKey(...key);
  assert.equal(answer.status, 201, answer.text);
}

/** Uses a key for many items in one call; the results in the items' order. */
export async function batch(
  service: TestService,
  path: string,
  items: readonly object[],
): Promise<Record<string, unknown>[]> {
  assert.ok(items.length <= BATCH_ITEMS_MAX);
  const answer = await service.request("POST", path, { items });
  assert.equal(answer.status, 200, answer.text);
  const results = answer.json["results"] as Record<string, unknown>[];
  assert.equal(results.length, items.length);
  return results;
}

/** The code of an answer that is a refusal, or of an item's error in a batch. */
export function codeOf(answer: Record<string, unknown> | undefined): unknown {
  const error = answer?.["error"];
  return typeof error === "object" && error !== null && "code" in error ? error.code : answer?.["code"];
}

export function base64(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}

export function described({ tcId, comment = "", flags, result }: Verdict): string {
  return `case ${tcId} (${result}; ${comment}; ${flags.join(" ")})`;
}
