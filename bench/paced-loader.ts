/**
 * An open-loop load, in a process of its own so that nothing else of the benchmark delays it: requests leave at a fixed rate
 * whatever the answers do, and a latency counts from the moment when a request was due, so that a stall shows in every
 * request that it delayed. Takes its order as JSON in its first argument, prints the result as JSON.
 */
import { RawClient } from "./raw-client.ts";
import type { PacedOrder, PacedResult } from "./paced-load.ts";

const SETTLING_MS = 10_000;

const { port, request, perSecond, connections, seconds } = JSON.parse(process.argv[2] ?? "") as PacedOrder;
const bytes = Buffer.from(request);
const total = Math.floor(perSecond * seconds);
const latencies = new Float64Array(total);
const idle: RawClient[] = [];
let answered = 0;
let failed = 0;
/** How many requests were due so far, and how many of them left. */
let due = 0;
let sent = 0;

for (let i = 0; i < connections; i++) idle.push(await RawClient.connect(port));
const start = performance.now();
const over = Promise.withResolvers<undefined>();
const dueAt = (n: number): number => start + (n / perSecond) * 1000;
while (due < total) {
  due = Math.min(total, Math.floor(((performance.now() - start) / 1000) * perSecond));
  dispatch();
  await new Promise((resolve) => setTimeout(resolve, 1));
}
await Promise.race([over.promise, new Promise((resolve) => setTimeout(resolve, SETTLING_MS))]);
const sorted = latencies.subarray(0, answered).sort();
const at = (share: number): number => sorted[Math.min(answered - 1, Math.floor(answered * share))] ?? NaN;
const result: PacedResult = {
  perSecond,
  sent,
  failed: failed + total - answered,
  p50Ms: at(0.5),
  p99Ms: at(0.99),
  maxMs: at(1),
};
process.stdout.write(JSON.stringify(result));
process.exit(0);

function dispatch(): void {
  while (sent < due) {
    const client = idle.pop();
    if (client === undefined) return;
    const wasDueAt = dueAt(sent++);
    client.send(bytes, (status) => {
      latencies[answered++] = performance.now() - wasDueAt;
      if (status !== 200) failed++;
      idle.push(client);
      if (answered === total) over.resolve(undefined);
      else dispatch();
    });
  }
}
