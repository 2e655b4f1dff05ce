/// <reference types="bun" />
/**
 * A server to be measured, in a process of its own: the bare echo, a bare server that signs (`ecdsa-p256` or `ed25519`),
 * or the service as `keystead server` composes it (`keystead-behind-proxy` believes the client's address that a request
 * states).
 * It prints its port and token as one line of JSON, and answers `cpu` on standard input with its CPU time so far, `memory`
 * with what it holds.
 */
import { Buffer } from "node:buffer";
import { generateKeyPairSync, sign } from "node:crypto";
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
const ready = await start();
process.stdout.write(`${JSON.stringify(ready)}\n`);
createInterface({ input: process.stdin }).on("line", (asked) => {
  const answer = asked === "memory" ? process.memoryUsage.rss() : process.cpuUsage();
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
process.stdin.on("end", () => process.exit(0));

async function start(): Promise<{ port: number; token: string }> {
  if (kind === "echo") return startEcho();
  if (kind === "ecdsa-p256" || kind === "ed25519") return startSigner(kind);
  return startKeystead(kind === "keystead-no-audit", kind === "keystead-clients");
}

/** What a server costs that signs a message and does nothing else, on one thread like the service. */
function startSigner(type: "ecdsa-p256" | "ed25519"): { port: number; token: string } {
  const [key, hash] =
    type === "ed25519"
      ? [generateKeyPairSync("ed25519").privateKey, null]
      : [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey, "sha256"];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { message_b64: message } = (await request.json()) as { message_b64: string };
      const signature = sign(hash, Buffer.from(message, "base64"), key);
      return Response.json({ signature_b64: signature.toString("base64"), version: 1 });
    },
  });
  return { port: server.port ?? 0, token: "" };
}

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
