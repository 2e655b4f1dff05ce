/** What the files say of clients and their keys: nothing. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { cheap } from "../identity/cheap-hash.ts";
import { startServer, temporaryFolder } from "../harness.ts";
import { GoKmsService, PASSWORD } from "./go-kms-service.ts";

test("no file of the data path holds a reference, a client name, a password or a DEK", async () => {
  const folder = temporaryFolder();
  const secrets: string[] = ["Canary-Client-Name", "Canary-Invited-Name", "Canary-Reference", PASSWORD];
  const bytes: Buffer[] = [];
  {
    const where = { KEYSTEAD_DATA_PATH: folder, KEYSTEAD_AUDIT_LOG: join(folder, "audit.log") };
    await using service = await startServer(
      { KEYSTEAD_FACADES: "go-kms", ...where },
      { passwordCost: cheap },
    );
    const go = await GoKmsService.of(service);
    const client = await go.client("Canary-Client-Name");
    await go.signupToken("Canary-Invited-Name");
    const answers = [
      await go.generate(client, "Canary-Reference"),
      await go.rotate(client, "Canary-Reference"),
    ];
    for (const { json } of answers) {
      secrets.push(String(json["dek"]));
      bytes.push(Buffer.from(String(json["dek"]), "base64url"));
    }
    await go.get(client, "Canary-Reference", 1);
    await go.login(client.name, "Canary-Wrong-Password");
    secrets.push("Canary-Wrong-Password");
    look();
  }
  look();

  function look(): void {
    const files = readdirSync(folder)
      .filter((name) => name !== "admin.sock")
      .map((name) => readFileSync(join(folder, name)));
    // The audit log at least has to be there, and speak of what was done.
    assert.ok(files.some((file) => file.includes("dek.create")));
    for (const file of files) {
      for (const secret of secrets) assert.ok(!file.includes(secret), secret);
      for (const dek of bytes) assert.ok(!file.includes(dek));
    }
  }
});
