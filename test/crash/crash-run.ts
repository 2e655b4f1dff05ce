/** `npm run crash [-- --cycles N --seed N --store sqlite|postgres]`: the crash test at length; prints its report. */
import { parseArgs } from "node:util";
import { runCrashCycles } from "./crash-cycles.ts";

const { values } = parseArgs({
  options: {
    cycles: { type: "string", default: "200" },
    seed: { type: "string", default: "1" },
    store: { type: "string", default: "sqlite" },
  },
});
const store = (["sqlite", "postgres"] as const).find((name) => name === values.store);
if (store === undefined) throw new Error("--store is sqlite or postgres");
const report = await runCrashCycles(
  Number(values.cycles),
  Number(values.seed),
  (cycle) => {
    if (process.stdout.isTTY) process.stdout.write(`\r${cycle} kills`);
  },
  store,
);
console.log(`\n${JSON.stringify(report, undefined, 2)}`);
process.exit(report.broken.length === 0 ? 0 : 1);
