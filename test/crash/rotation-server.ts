/**
 * A server for the crash test of rotations: keys that nothing needs go at once, and what is due is done all the time. It
 * says its port, then works until it is killed.
 */
import { compose } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import { Log } from "../../src/telemetry/log.ts";

process.umask(0o077);
const log = new Log({ plain: false });
const keystead = await compose(readConfig([], process.env, process.cwd()), { barrierGraceMs: 0, log });
const [listener] = await keystead.listen();
process.stdout.write(`port ${listener?.port ?? 0}\n`);
for (;;) {
  await keystead.runJobs();
  await new Promise((resolve) => setTimeout(resolve, 20));
}
