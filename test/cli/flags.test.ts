import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { CommandContext, type Connection } from "../../cli/command-context.ts";
import { parseDurationMs } from "../../cli/duration.ts";
import { buildProgram } from "../../cli/program.ts";
import { withDoubleDashes } from "../../cli/single-dash.ts";
import { serviceFor, startDev, temporaryFolder } from "../harness.ts";
import { runCli, type CliResult } from "./cli-process.ts";

describe("flags", () => {
  const service = serviceFor(() => startDev());
  const whoami = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
    const { status, stdout, stderr }: CliResult = await runCli([...args, "whoami", "--json"], { env });
    assert.equal(status, 0, stderr);
    return (JSON.parse(stdout) as { caller: string }).caller;
  };

  test("long flags with one dash work before and after the command, with a space or =", async () => {
    const token = await service().token("reader", { kind: "service" });
    for (const args of [
      ["-url", service().url, "-token", token, "whoami", "-json"],
      ["whoami", `-url=${service().url}`, `-token=${token}`, "-json"],
      ["-json", "whoami", "--url", service().url, "-timeout", "10s", "-token", token],
    ]) {
      const { stdout, stderr } = await runCli(args);
      assert.match(stdout, /"caller":"service:test-/, stderr);
    }
  });

  test("one dash is put right for flags only: not for values, unknown words, or what follows --", () => {
    const respell = (...args: string[]): string[] => withDoubleDashes(args, buildProgram({}));
    assert.deepEqual(respell("-url", "-token", "-token", "x"), ["--url", "-token", "--token", "x"]);
    assert.deepEqual(respell("encrypt", "k", "--", "-url"), ["encrypt", "k", "--", "-url"]);
    assert.deepEqual(respell("-frob", "-h", "-"), ["-frob", "-h", "-"]);
    assert.deepEqual(respell("loadtest", "-payload-size=5"), ["loadtest", "--payload-size=5"]);
  });

  test("a value that begins with a dash follows --", async () => {
    const url = ["--url", service().url];
    await runCli([...url, "key", "create", "dashed"]);
    const { stdout } = await runCli([...url, "encrypt", "dashed", "--", "-url"]);
    assert.equal((await runCli([...url, "decrypt", "dashed", stdout.trim()])).stdout, "-url");
  });

  test("the token comes from a flag, a file or the environment, BunKMS's name included, in that order", async () => {
    const token = await service().token("reader", { kind: "service" });
    const other = await service().token("reader", { kind: "person" });
    const file = join(temporaryFolder(), "token");
    writeFileSync(file, `${token}\n`);
    const at = { KEYSTEAD_URL: service().url };
    const mine = await whoami([], { ...at, KEYSTEAD_TOKEN: token });
    assert.match(mine, /^service:/);
    assert.equal(await whoami([], { ...at, BUNKMS_TOKEN: token }), mine);
    assert.equal(await whoami([], { ...at, KEYSTEAD_TOKEN_FILE: file }), mine);
    assert.equal(await whoami(["--token-file", file], { ...at, KEYSTEAD_TOKEN: other }), mine);
    assert.equal(await whoami(["--token", token], { ...at, KEYSTEAD_TOKEN: other }), mine);
    assert.equal(await whoami([], { ...at, KEYSTEAD_TOKEN: token, BUNKMS_TOKEN: other }), mine);
    assert.equal(await whoami([], { ...at, KEYSTEAD_TOKEN: "" }), "dev:dev");
  });

  test("--timeout is the time of one try as well", () => {
    const connection = (args: string[]): Connection => {
      const program = buildProgram({});
      program.parseOptions(args);
      return new CommandContext(program, {}).connection();
    };
    const { timeoutMs, tryTimeoutMs } = connection(["--timeout", "20s"]);
    assert.deepEqual([timeoutMs, tryTimeoutMs], [20_000, 20_000]);
    assert.equal(connection([]).tryTimeoutMs, undefined);
  });

  test("durations are read as Go writes them", () => {
    const read: [string, number][] = [
      ["500ms", 500],
      ["10s", 10_000],
      ["2m", 120_000],
      ["1h30m", 5_400_000],
      ["1.5s", 1500],
      ["90d", 7_776_000_000],
    ];
    for (const [text, milliseconds] of read) assert.equal(parseDurationMs(text), milliseconds);
    for (const text of ["", "10", "0s", "-1s", "s", "10 s", "1e3s", "10x"]) {
      assert.throws(() => parseDurationMs(text), { name: "UsageError" }, text);
    }
  });

  test("the help names every command, the exit codes and the environment", async () => {
    const { status, stdout } = await runCli(["--help"]);
    assert.equal(status, 0);
    for (const word of [
      ...["server", "init", "key", "secret", "encrypt", "decrypt", "sign", "verify", "export", "project"],
      ...["account", "token", "jwt", "role", "issuer", "whoami", "can", "health", "loadtest", "version"],
    ]) {
      assert.match(stdout, new RegExp(`^  ${word}[ |]`, "m"));
    }
    assert.match(stdout, /KEYSTEAD_TOKEN_FILE/);
    assert.match(stdout, /6 {2}decryption failed/);
    assert.match((await runCli(["help", "server"])).stdout, /keystead server --help/);
    assert.match((await runCli(["loadtest", "-h"])).stdout, /mixed +encrypts, then decrypts/);
    assert.match((await runCli(["--version"])).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
