/** Batches of 256 values of 256 bytes, as JSON and in frames, against a bare loop that draws a fresh nonce each time. */
import { randomBytes } from "node:crypto";
import { bareLoop, median, runWrk, Subject, type Load } from "./measure.ts";

const KEY = "bench";
const ITEMS = 256;
const VALUE_BYTES = 256;
/** Enough to keep the server busy; a request is a hundred kilobytes. */
const CONNECTIONS = 8;

/** Prints the case's figures. */
export async function batchCase(rounds: number, seconds: number): Promise<void> {
  const path = `/v1/keys/${KEY}/encrypt/batch`;
  const values = Array.from({ length: ITEMS }, () => randomBytes(VALUE_BYTES));
  const items = values.map((value) => ({ plaintext_b64: value.toString("base64") }));
  const json: Load = { method: "POST", path, body: JSON.stringify({ items }), connections: CONNECTIONS };
  const frames = Buffer.concat(values.flatMap((value) => [Buffer.alloc(4), lengthOf(value), value]));
  const contentType = "application/octet-stream";
  const binary: Load = { method: "POST", path, body: frames, contentType, connections: CONNECTIONS };

  const subject = await Subject.start("keystead");
  await subject.post("/v1/keys", { name: KEY, type: "aes-256" });
  for (const load of [json, binary]) await runWrk(subject, load, 5);
  const bare: number[] = [];
  const perSecond = new Map<Load, number[]>([
    [json, []],
    [binary, []],
  ]);
  let errors = 0;
  for (let round = 0; round < rounds; round++) {
    bare.push(await bareLoop("aes-256-gcm", seconds));
    for (const [load, figures] of perSecond) {
      const run = await runWrk(subject, load, seconds);
      figures.push(run.perSecond * ITEMS);
      errors += run.errors;
    }
  }
  subject.stop();
  console.log(`\nbatches of ${ITEMS} × ${VALUE_BYTES} bytes, ${rounds} rounds of ${seconds} s, medians`);
  console.log(`bare loop                   ${median(bare).toFixed(0).padStart(9)} items/s`);
  for (const [name, load] of [
    ["batch as JSON", json],
    ["batch in frames", binary],
  ] as const) {
    const figures = perSecond.get(load) ?? [];
    const ratio = median(figures.map((figure, i) => figure / (bare[i] ?? NaN)));
    const rate = median(figures).toFixed(0).padStart(9);
    console.log(`${name.padEnd(28)}${rate} items/s  ${ratio.toFixed(2)} of the loop  ${errors} errors`);
  }
}

function lengthOf(value: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(value.length);
  return length;
}
