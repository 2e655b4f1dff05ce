/**
 * `npm run soak`: ten million encryptions, one by one and in batches, and what memory the server holds meanwhile. It fails
 * where a request fails, or where memory leaves the band around what it was after the first minute.
 * Arguments: `--encryptions N` (10,000,000), `--band PERCENT` (10).
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { median, requireWrk, runWrk, Subject, type Load } from "./measure.ts";

const ITEMS = 1000;
const SETTLED_SECONDS = 60;
const ROUND_SECONDS = 5;
const CYCLES_MIN = 10;

const { values } = parseArgs({
  options: {
    encryptions: { type: "string", default: "10000000" },
    band: { type: "string", default: "10" },
  },
});
const wanted = Number(values.encryptions);
const band = Number(values.band) / 100;

requireWrk();
const subject = await Subject.start("keystead");
await subject.post("/v1/keys", { name: "soak", type: "aes-256" });
const item = { plaintext_b64: randomBytes(64).toString("base64") };
const single: Load = { method: "POST", path: "/v1/encrypt/soak", body: JSON.stringify(item) };
const batch: Load = {
  method: "POST",
  path: "/v1/keys/soak/encrypt/batch",
  body: JSON.stringify({ items: Array.from({ length: ITEMS }, () => item) }),
  connections: 4,
};
const loads = [
  [single, 1],
  [batch, ITEMS],
] as const;
const start = performance.now();
let encryptions = 0;
let errors = 0;
const settled: number[] = [];
while (encryptions < wanted || settled.length < CYCLES_MIN) {
  // One by one and in batches the server holds different amounts: cycles of both are compared, by their mean.
  let held = 0;
  for (const [load, each] of loads) {
    const run = await runWrk(subject, load, ROUND_SECONDS);
    encryptions += Math.round(run.perSecond * ROUND_SECONDS * each);
    errors += run.errors;
    const megabytes = (await subject.residentBytes()) / 2 ** 20;
    const seconds = (performance.now() - start) / 1000;
    held += megabytes / loads.length;
    const at = `${seconds.toFixed(0)} s`.padStart(6);
    console.log(`${at}  ${encryptions} encryptions  ${megabytes.toFixed(1)} MiB  ${errors} errors`);
  }
  if ((performance.now() - start) / 1000 > SETTLED_SECONDS) settled.push(held);
}
subject.stop();
const middle = median(settled);
const low = Math.min(...settled);
const high = Math.max(...settled);
const flat = low >= middle * (1 - band) && high <= middle * (1 + band);
console.log(
  `${encryptions} encryptions, ${errors} errors; memory after the first minute ${middle.toFixed(1)} MiB, from ${low.toFixed(1)} to ${high.toFixed(1)}: ${flat ? "flat" : "NOT flat"}`,
);
process.exit(flat && errors === 0 ? 0 : 1);
