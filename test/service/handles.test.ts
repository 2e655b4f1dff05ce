/** Names, ids and what is decided and remembered about them. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { describe, test } from "node:test";
import { startServer, type Answer, type TestService } from "../harness.ts";

const encrypt = (service: TestService, token: string, handle: string): Promise<Answer> =>
  service.request("POST", `/v1/encrypt/${handle}`, { plaintext: "x" }, { token });

describe("a key's id", () => {
  test("is the same handle in any letter case, before and after a rotation and a revocation", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    const id = String((await service.request("POST", "/v1/keys", { name: "k" }, { token })).json["id"]);
    const handles = ["k", id, id.toUpperCase(), `${id.slice(0, 20).toUpperCase()}${id.slice(20)}`];
    for (const handle of handles) assert.equal((await encrypt(service, token, handle)).json["version"], 1);
    await service.request("POST", `/v1/keys/${id.toUpperCase()}/rotate`, {}, { token });
    for (const handle of handles) assert.equal((await encrypt(service, token, handle)).json["version"], 2);
    await service.request("POST", "/v1/keys/k/revoke", {}, { token });
    for (const handle of handles)
      assert.equal((await encrypt(service, token, handle)).json["code"], "key_revoked");
  });

  test("does not get around a binding's name pattern, and is covered by one that covers the name", async () => {
    await using service = await startServer();
    const root = await service.token("admin");
    const limited = await service.token("operator", { pattern: "app-*" });
    const wide = await service.token("operator", { pattern: "*-*" });
    const ids = new Map<string, string>();
    for (const name of ["app-1", "payroll"]) {
      ids.set(
        name,
        String((await service.request("POST", "/v1/keys", { name }, { token: root })).json["id"]),
      );
    }
    assert.equal((await encrypt(service, limited, ids.get("app-1")!)).status, 200);
    for (const handle of [ids.get("payroll")!, "payroll"]) {
      assert.equal((await encrypt(service, limited, handle)).status, 403);
      assert.equal((await encrypt(service, wide, handle)).status, 403);
    }
    const absent = await encrypt(service, wide, "00000000-0000-4000-8000-000000000000");
    assert.equal(absent.status, 403, "an id that leads nowhere looks like one of others");
    const entry = service.auditEntries().find((candidate) => candidate["action"] === "key.encrypt");
    assert.equal(entry?.["resource"], "key:app-1", "the audit log speaks of names");
  });
});

describe("lists", () => {
  test("of a caller who may see little cost a bounded number of rows, and still show all of it in the end", async () => {
    await using service = await startServer();
    const { keyring, projects, auditor } = service.keystead.services;
    const project = await projects.byName("default");
    const spec = (name: string): { name: string; type: "aes-256"; exportable: boolean } => ({
      name,
      type: "aes-256",
      exportable: false,
    });
    await Promise.all(
      Array.from({ length: 6000 }, (_, i) =>
        keyring.create(project?.id ?? "", spec(`k${String(i).padStart(5, "0")}`), (writes, facts) =>
          auditor.commitChange(
            {
              action: "test",
              address: "",
              caller: "",
              decision: "allow",
              outcome: "ok",
              project: "",
              request: "",
              severity: "INFO",
              ...facts,
              version: 0,
            },
            writes,
          ),
        ),
      ),
    );
    const token = await service.token("reader", { pattern: "*5999" });
    const first = await service.request("GET", "/v1/keys?limit=1", undefined, { token });
    assert.deepEqual(first.json["keys"], []);
    const cursor = String(first.json["next_cursor"]);
    assert.ok(!Buffer.from(cursor, "base64url").includes("k0"), "the cursor does not show where it stands");
    const second = await service.request("GET", `/v1/keys?limit=1&cursor=${cursor}`, undefined, { token });
    assert.deepEqual(
      (second.json["keys"] as { name: string }[]).map(({ name }) => name),
      ["k05999"],
    );
    for (const bad of ["x", Buffer.from("k00001").toString("base64url"), `${cursor.slice(0, -2)}AA`]) {
      const answer = await service.request("GET", `/v1/keys?cursor=${bad}`, undefined, { token });
      assert.equal(answer.json["code"], "invalid_body");
    }
  });

  test("refuse a query field named after what every object has", async () => {
    await using service = await startServer();
    const token = await service.token("reader");
    const answer = await service.request("GET", "/v1/keys?__proto__=1", undefined, { token });
    assert.equal(answer.json["code"], "unknown_field");
  });
});

describe("a request that takes its time", () => {
  const head = (token: string, length: number): string =>
    `POST /v1/encrypt/k HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;
  const body = '{"plaintext":"x"}';

  test("does not outlive its token: revoked while the body came, it is refused", async () => {
    await using service = await startServer();
    const root = await service.token("admin", { project: "*" });
    const token = await service.token("operator");
    await service.request("POST", "/v1/keys", { name: "k" }, { token: root });
    const socket = await opened(service.port);
    socket.write(head(token, body.length) + body.slice(0, 5));
    const listed = await service.request("GET", "/v1/accounts/test-2/tokens", undefined, { token: root });
    const [made] = listed.json["tokens"] as { id: string }[];
    // Longer than a body may take without a second look.
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(
      (await service.request("DELETE", `/v1/accounts/test-2/tokens/${made!.id}`, undefined, { token: root }))
        .status,
      204,
    );
    socket.write(body.slice(5));
    const [answer] = (await once(socket, "data")) as [Buffer];
    assert.match(answer.toString("latin1"), /^HTTP\/1\.1 401/);
    socket.destroy();
  });

  test("is no failure of the service when its client goes away in the middle", async () => {
    await using service = await startServer();
    const token = await service.token("admin");
    await service.request("POST", "/v1/keys", { name: "k" }, { token });
    for (const leave of [(socket: Socket) => socket.resetAndDestroy(), (socket: Socket) => socket.end()]) {
      const socket = await opened(service.port);
      socket.write(head(token, 1000) + body);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const closed = once(socket, "close");
      leave(socket);
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1000))]);
      socket.destroy();
    }
    const deadline = performance.now() + 5000;
    while (
      !/in_flight 0/.test((await service.request("GET", "/metrics")).text) &&
      performance.now() < deadline
    );
    const { text } = await service.request("GET", "/metrics");
    assert.match(text, /in_flight 0/);
    assert.ok(!/status="5\d\d"/.test(text));
    assert.ok(!text.includes("internal_error"));
    assert.deepEqual(service.logLines, []);
  });
});

describe("audit entries of rights", () => {
  test("say which role came or went, where and for which names", async () => {
    await using service = await startServer();
    const token = await service.token("admin", { project: "*" });
    await service.request("POST", "/v1/accounts", { name: "svc", kind: "service" }, { token });
    const bound = await service.request(
      "POST",
      "/v1/accounts/svc/bindings",
      { role: "admin", project: "*", pattern: "a*" },
      { token },
    );
    const [binding] = bound.json["bindings"] as { id: string }[];
    await service.request("DELETE", `/v1/accounts/svc/bindings/${binding!.id}`, undefined, { token });
    const details = service
      .auditEntries()
      .filter((entry) => String(entry["action"]).startsWith("account.") && entry["details"] !== undefined)
      .map((entry) => entry["details"]);
    const common = { binding: binding!.id, pattern: "a*", project: "*", role: "admin" };
    assert.deepEqual(details, [
      { ...common, change: "bind" },
      { ...common, change: "unbind" },
    ]);
  });
});

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}
