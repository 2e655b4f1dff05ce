/** Which addresses are listened on, and what is said where one cannot be had. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { startDev, startServer } from "./harness.ts";

const hasIpv6 = (networkInterfaces()["lo"] ?? []).some(({ address }) => address === "::1");

/** Another program on a free port. */
async function other(host: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  server.listen({ host, port: 0 });
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

describe("an address that another program listens on", () => {
  test("is not passed over for the other loopback address", { skip: !hasIpv6 && "no IPv6" }, async () => {
    const { server, port } = await other("::1");
    await assert.rejects(
      startDev({ KEYSTEAD_ADDR: `localhost:${port}` }),
      new RegExp(`KEYSTEAD_ADDR ::1:${port} cannot be listened on`),
    );
    server.close();
  });

  test("is told by the setting that names it", async () => {
    const { server, port } = await other("127.0.0.1");
    const settings = { KEYSTEAD_ADDR: "127.0.0.1:0", KEYSTEAD_INTERNAL_ADDR: `127.0.0.1:${port}` };
    await assert.rejects(
      startServer(settings),
      new RegExp(`KEYSTEAD_INTERNAL_ADDR 127.0.0.1:${port} cannot`),
    );
    server.close();
  });
});
