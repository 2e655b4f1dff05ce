/** `npm run crash [-- --cycles N --seed N]`: the crash test at length; prints its report. */
import { parseArgs } from "node:util";
import { runCrashCycles } from "./crash-cycles.ts";

const { values } = parseArgs({
  options: { cycles: { type: "string", default: "200" }, seed: { type: "string", default: "1" } },
});
const report = await runCrashCycles(Number(values.cycles), Number(values.seed), (cycle) => {
  if (process.stdout.isTTY) process.stdout.write(`\r${cycle} kills`);
});
console.log(`\n${JSON.stringify(report, undefined, 2)}`);
process.exit(report.broken.length === 0 ? 0 : 1);
