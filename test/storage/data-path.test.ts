import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { StartRefused } from "../../src/start-refused.ts";
import { ROOT_KEY, startServer, temporaryFolder, type TestService } from "../harness.ts";

const start = (path: string, rootKey = ROOT_KEY): Promise<TestService> =>
  startServer({
    KEYSTEAD_DATA_PATH: path,
    KEYSTEAD_AUDIT_LOG: join(path, "audit.log"),
    KEYSTEAD_ROOT_KEY: rootKey,
  });

describe("a data path", () => {
  test("opens again with everything that was put into it", async () => {
    const path = join(temporaryFolder(), "data");
    const first = await start(path);
    const token = await first.token("admin");
    await first.request("POST", "/v1/keys", { name: "k" }, { token });
    await first.request("POST", "/v1/secrets", { name: "s", value: "kept" }, { token });
    const { ciphertext } = (await first.request("POST", "/v1/encrypt/k", { plaintext: "kept" }, { token }))
      .json;
    await first.close();
    await using second = await start(path);
    assert.equal(
      (await second.request("POST", "/v1/decrypt/k", { ciphertext }, { token })).json["plaintext"],
      "kept",
    );
    assert.equal((await second.request("GET", "/v1/secrets/s", undefined, { token })).json["value"], "kept");
  });

  test("has files of 0600 in a folder of 0700, whatever the umask and the folder were", async (t) => {
    const before = process.umask(0);
    t.after(() => process.umask(before));
    const path = join(temporaryFolder(), "data");
    mkdirSync(path, { mode: 0o755 });
    chmodSync(path, 0o755);
    await (await start(path)).close();
    // A file that an earlier, careless copy left readable.
    chmodSync(join(path, "keystead.db"), 0o644);
    process.umask(0o077);
    await using service = await start(path);
    await service.token("admin");
    assert.equal(statSync(path).mode & 0o777, 0o700);
    for (const name of readdirSync(path)) assert.equal(statSync(join(path, name)).mode & 0o777, 0o600, name);
  });

  test("refuses a second process with a clear line, and is free again when the first has ended", async () => {
    const path = join(temporaryFolder(), "data");
    const first = await start(path);
    await assert.rejects(start(path), (error: Error) => {
      assert.ok(error instanceof StartRefused);
      assert.match(error.message, /is in use by another Keystead process/);
      return true;
    });
    assert.equal((await first.request("GET", "/health")).status, 200);
    await first.close();
    await (await start(path)).close();
  });

  test("tells a wrong root key at start, and stays as it is to the byte", async () => {
    const path = join(temporaryFolder(), "data");
    const service = await start(path);
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    await service.close();
    const before = digests(path);
    await assert.rejects(start(path, "11".repeat(32)), (error: Error) => {
      assert.ok(error instanceof StartRefused);
      assert.match(error.message, /^KEYSTEAD_ROOT_KEY is not the root key of this data path/);
      return true;
    });
    const after = digests(path);
    for (const [name, digest] of before) assert.equal(after.get(name), digest, name);
    await using again = await start(path);
    assert.equal((await again.request("GET", "/v1/keys/k", undefined, { token })).status, 200);
  });

  test("that holds another program's files is refused and left untouched", async () => {
    for (const foreign of ["bunder.data", "postmaster.pid"]) {
      const path = temporaryFolder();
      writeFileSync(join(path, foreign), "theirs");
      const mode = statSync(path).mode;
      await assert.rejects(start(path), /holds another program's files/);
      assert.deepEqual(readdirSync(path), [foreign]);
      assert.equal(statSync(path).mode, mode);
    }
    const path = temporaryFolder();
    writeFileSync(
      join(path, "keystead.db"),
      "this is no database at all, but long enough to be looked at twice",
    );
    await assert.rejects(start(path), /cannot be read as a Keystead database/);
    assert.match(readFileSync(join(path, "keystead.db"), "utf8"), /^this is no database/);
  });

  test("that cannot be taken is not said to be in use", async () => {
    const path = temporaryFolder();
    writeFileSync(join(path, "lock.db"), "damaged".repeat(1000));
    const refusal = (error: unknown): boolean => {
      assert.ok(error instanceof StartRefused, String(error));
      assert.match(error.message, /cannot be taken \(file is not a database\)/);
      return true;
    };
    await assert.rejects(start(path), refusal);
  });

  test("that is a file is refused", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    await assert.rejects(start(file), /is not a folder|another program/);
  });
});

function digests(path: string): Map<string, string> {
  return new Map(
    readdirSync(path)
      .filter((name) => statSync(join(path, name)).isFile())
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(path, name)))
          .digest("hex"),
      ]),
  );
}
