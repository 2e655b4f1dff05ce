/// <reference types="bun" />
/**
 * A server to be measured, in a process of its own: the bare echo, or the service as `keystead server` composes it
 * (`keystead-behind-proxy` believes the client's address that a request states).
 * It prints its port and token as one line of JSON, and answers `cpu` on standard input with its CPU time so far, `memory`
 * with what it holds.
 */
import { join } from "node:path";
import { createInterface } from "node:readline";
import { serviceFacts } from "../src/audit/auditor.ts";
import type { CommitChange } from "../src/audit/change.ts";
import { nullSink } from "../src/audit/audit-sink.ts";
import { compose } from "../src/compose.ts";
import { readConfig } from "../src/config.ts";

/** Of the account `bench`. */
const BENCH_PASSWORD = "correct horse battery";

const [kind = "", folder = "", database] = process.argv.slice(2);
process.umask(0o077);
const ready =
  kind === "echo"
    ? startEcho()
    : await startKeystead(kind === "keystead-no-audit", kind === "keystead-clients");
process.stdout.write(`${JSON.stringify(ready)}\n`);
createInterface({ input: process.stdin }).on("line", (asked) => {
  const answer = asked === "memory" ? process.memoryUsage.rss() : process.cpuUsage();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
process.stdin.on("end", () => process.exit(0));

/** The reference: what Bun's server costs for the same body, parsed and written anew. */
function startEcho(): { port: number; token: string } {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => Response.json(await request.json()),
  });
  return { port: server.port ?? 0, token: "" };
}

async function startKeystead(
  withoutAudit: boolean,
  asClient: boolean,
): Promise<{ port: number; token: string }> {
  const config = readConfig(
    [],
    {
      KEYSTEAD_ADDR: "127.0.0.1:0",
      KEYSTEAD_ROOT_KEY: "00".repeat(32),
      ...(database === undefined
        ? { KEYSTEAD_DATA_PATH: folder }
        : { KEYSTEAD_DATABASE_URL: database, KEYSTEAD_AUDIT_LOG: join(folder, "audit.log") }),
      KEYSTEAD_RATE_LIMIT: "off",
      ...(asClient ? { KEYSTEAD_FACADES: "go-kms" } : {}),
      ...(kind === "keystead-behind-proxy" ? { KEYSTEAD_TRUSTED_PROXIES: "127.0.0.1" } : {}),
    },
    folder,
  );
  const options = { initialising: true, ...(withoutAudit ? { auditSink: nullSink } : {}) };
  const keystead = await compose(config, options);
  const { accounts, auditor, clientAccounts, passwords, projects } = keystead.services;
  const commit: CommitChange = (writes, facts) =>
    auditor.commitChange({ ...serviceFacts("bench.prepare"), ...facts, version: 0 }, writes);
  if (asClient) {
    const password = "Bench-password-1";
    const { token: invitation } = await clientAccounts.invite("bench", 3600, commit);
    const { token } = await clientAccounts.redeem(invitation, password, "local", commit, () => undefined);
    const [listener] = await keystead.listen();
    return { port: listener?.port ?? 0, token };
  }
  const { id } = await accounts.create("bench", "service", commit);
  await commit(await passwords.setting(id, BENCH_PASSWORD), { resource: "account:bench" });
  await accounts.bind(
    "bench",
    { role: "admin", project: (await projects.byName("default"))?.id ?? "" },
    commit,
  );
  const { plainToken } = await accounts.createToken("bench", "bench", 3600, commit);
  const [listener] = await keystead.listen();
  return { port: listener?.port ?? 0, token: plainToken };
}
