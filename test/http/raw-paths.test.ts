/** Request targets as they go over the wire: no client library tidies them up first. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { before, describe, test } from "node:test";
import { serviceFor, startDev } from "../harness.ts";

describe("request targets on a raw socket", () => {
  const service = serviceFor(() => startDev());
  let facadeKey = "";
  before(async () => {
    const made = await service().request("POST", "/kms/Key", { name: "k", algorithm: "AES256_GCM" });
    facadeKey = String(made.json["id"]);
    assert.equal((await raw(service().port, `GET /kms/Key/${facadeKey}`)).status, 200);
    assert.equal((await service().request("POST", "/v1/keys", { name: "mykey" })).status, 201);
    assert.equal((await raw(service().port, "GET /v1/keys/mykey")).status, 200);
  });

  for (const target of [
    "/v1/keys/../keys/mykey",
    "/v1/./keys/mykey",
    "//v1/keys/mykey",
    "/v1//keys/mykey",
    "/v1/keys//mykey",
    "/v1/keys/mykey/",
    "/v1/keys/mykey/.",
    "/v1/keys/x/../mykey",
    "/v1/keys/%6dykey",
    "/v1/keys/mykey%00",
    "/v1/keys/%2e%2e/keys/mykey",
    "/v1/keys%2Fmykey",
    "/v1%2fkeys/mykey",
    "/v1/keys/mykey%2Frotate",
    "/v1/keys/mykey%252Frotate",
    "/v1/keys\\mykey",
    "\\v1\\keys\\mykey",
    "/v1/keys/mykey\\..\\mykey",
    "/V1/keys/mykey",
    "/v1/Keys/mykey",
    "/v1/keys/ｍｙｋｅｙ",
    "/v1/keys/my\u200bkey",
    "/v1/keys/mykey;x=1",
    "/v1/keys/MYKEY",
  ]) {
    test(`does not take ${JSON.stringify(target)} for the key`, async () => {
      const { status, text } = await raw(service().port, `GET ${target}`);
      assert.ok([400, 404].includes(status), `${status}`);
      assert.ok(!text.includes('"versions"'), "no key came back");
    });
  }

  for (const spell of [
    (id: string) => `/kms/Key/../Key/${id}`,
    (id: string) => `/kms/./Key/${id}`,
    (id: string) => `//kms/Key/${id}`,
    (id: string) => `/kms//Key/${id}`,
    (id: string) => `/kms/Key//${id}`,
    (id: string) => `/kms/Key/${id}/`,
    (id: string) => `/kms/Key/${id}/.`,
    (id: string) => `/kms/Key/x/../${id}`,
    (id: string) => `/v1/../kms/Key/${id}`,
    (id: string) => `/kms/Key/%2e%2e/Key/${id}`,
    (id: string) => `/kms/Key%2F${id}`,
    (id: string) => `/kms%2fKey/${id}`,
    (id: string) => `/kms/Key/${id}%2Frotate`,
    (id: string) => `/kms/Key/${id}%252Frotate`,
    (id: string) => `/kms/Key/${id}%00`,
    (id: string) => `/kms/%4Bey/${id}`,
    (id: string) => `/kms\\Key\\${id}`,
    (id: string) => `/kms/Key/${id}\\..\\${id}`,
    (id: string) => `/kms/KEY/${id}`,
    (id: string) => `/KMS/Key/${id}`,
    (id: string) => `/kms/Ｋey/${id}`,
    (id: string) => `/kms/\u212aey/${id}`,
    (id: string) => `/kms/Key/${id}\u200b`,
    (id: string) => `/kms/Key/${id};x=1`,
  ]) {
    test(`does not take ${JSON.stringify(spell("{id}"))} for a facade's key`, async () => {
      const { status, text } = await raw(service().port, `GET ${spell(facadeKey)}`);
      assert.ok([400, 404, 422].includes(status), `${status}`);
      assert.ok(!text.includes('"primary_version"'), "no key came back");
    });
  }

  test("does not fall through from a path to another with a parameter in its place", async () => {
    const { status, text } = await raw(service().port, "DELETE /v1/keys/mykey/rotate");
    assert.equal(status, 405);
    assert.ok(text.includes("method_not_allowed"));
  });

  test("takes the id of a key wherever it takes its name", async () => {
    const { json } = await service().request("GET", "/v1/keys/mykey");
    assert.equal((await service().request("GET", `/v1/keys/${String(json["id"])}`)).json["name"], "mykey");
    assert.equal(
      (await service().request("POST", `/v1/encrypt/${String(json["id"])}`, { plaintext: "x" })).status,
      200,
    );
  });
});

function raw(port: number, line: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.end(`${line} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`);
    });
    let text = "";
    socket.setEncoding("utf8").on("data", (chunk) => (text += String(chunk)));
    socket.on("error", reject);
    socket.on("close", () => {
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 400), text });
    });
  });
}
