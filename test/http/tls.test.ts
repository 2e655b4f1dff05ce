/** TLS as clients meet it: by real handshakes, and by first messages that no client of today would send. */
import assert from "node:assert/strict";
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { makeCertificate, replaceCertificate, tlsSettings, type CertificateFiles } from "../certificates.ts";
import { serviceFor, startServer, type TestService } from "../harness.ts";
import { sayHello } from "./client-hello.ts";
import { TlsClient } from "./tls-client.ts";

const HANDSHAKE_FAILURE = 40;
const PROTOCOL_VERSION = 70;
const RELOAD_MS_MAX = 20_000;

const allowed = {
  ecdsa: {
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xc02b,
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xc02c,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xcca9,
  },
  rsa: {
    "ECDHE-RSA-AES128-GCM-SHA256": 0xc02f,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xc030,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xcca8,
  },
};

/** By class, the numbers of the suites (IANA's registry) that may not be had. */
const refusedSuites: Readonly<Record<string, readonly number[]>> = {
  "static RSA with AES-GCM": [0x009c, 0x009d],
  "static RSA with CBC": [0x002f, 0x0035, 0x003c, 0x003d, 0x0041, 0x0084, 0x0096],
  "static RSA with CCM": [0xc09c, 0xc09d, 0xc0a0],
  "ECDHE with CBC": [0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0xc072, 0xc076],
  "ECDHE with CCM": [0xc0ac, 0xc0ad, 0xc0ae, 0xc0af],
  DHE: [0x0033, 0x0039, 0x0067, 0x006b, 0x009e, 0x009f, 0xccaa],
  "static ECDH": [0xc004, 0xc00e, 0xc02d, 0xc031],
  "3DES": [0x000a, 0x0016, 0xc008, 0xc012],
  RC4: [0x0004, 0x0005, 0xc007, 0xc011],
  "DES and export": [0x0003, 0x0006, 0x0008, 0x0009, 0x0014, 0x0015],
  NULL: [0x0000, 0x0001, 0x0002, 0x003b, 0xc006, 0xc010],
  anonymous: [0x0018, 0x0034, 0x006c, 0x00a6, 0xc018, 0xc019],
  PSK: [0x008c, 0x00a8, 0xc035, 0xccac],
};

const startTls = (files: CertificateFiles): Promise<TestService> => startServer(tlsSettings(files));

for (const kind of ["ecdsa", "rsa"] as const) {
  describe(`TLS with an ${kind.toUpperCase()} certificate`, () => {
    const files = makeCertificate(kind, 1);
    const service = serviceFor(() => startTls(files));

    test("speaks 1.3 with each of its suites", async () => {
      for (const suite of [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
      ]) {
        const output = await openssl(service().port, files, ["-tls1_3", "-ciphersuites", suite]);
        assert.match(output, /Protocol version: TLSv1\.3/);
        assert.match(output, new RegExp(`Ciphersuite: ${suite}`));
        assert.match(output, /Verification: OK/);
      }
    });

    for (const [name, number] of Object.entries(allowed[kind])) {
      test(`speaks 1.2 with ${name}`, async () => {
        const output = await openssl(service().port, files, ["-tls1_2", "-cipher", name]);
        assert.match(output, /Protocol version: TLSv1\.2/);
        assert.match(output, new RegExp(`Ciphersuite: ${name}`));
        // What is refused below is not refused for the form of the message.
        assert.deepEqual(await sayHello(service().port, 0x0303, [0x002f, number]), {
          kind: "hello",
          version: 0x0303,
          suite: number,
        });
      });
    }

    for (const [title, suites] of Object.entries(refusedSuites)) {
      test(`refuses ${title}`, async () => {
        for (const offer of [suites, ...suites.map((suite) => [suite])]) {
          assert.deepEqual(
            await sayHello(service().port, 0x0303, offer),
            { kind: "alert", description: HANDSHAKE_FAILURE },
            offer.map((suite) => suite.toString(16)).join(" "),
          );
        }
      });
    }

    test("refuses SSL 3.0, TLS 1.0 and TLS 1.1, whatever suites come with them", async () => {
      const suites = [...Object.values(allowed[kind]), ...Object.values(refusedSuites).flat()];
      for (const version of [0x0300, 0x0301, 0x0302]) {
        const answer = await sayHello(service().port, version, suites);
        assert.equal(answer.kind, "alert", version.toString(16));
        // OpenSSL says of SSL 3.0, which it no longer has, that the handshake fails.
        if (version > 0x0300) assert.equal(answer.description, PROTOCOL_VERSION);
      }
      for (const version of ["-tls1", "-tls1_1"]) {
        const output = await openssl(service().port, files, [version, "-cipher", "ALL:@SECLEVEL=0"]);
        assert.doesNotMatch(output, /Protocol version/);
      }
    });

    test("answers a request over it, with the client's address in the log as without", async () => {
      const client = await TlsClient.open(service().port, files);
      assert.equal((await client.ask("/v1/keys")).status, 401);
      client.close();
      const [entry] = service()
        .auditEntries()
        .filter(({ action }) => action === "key.list");
      assert.equal(entry?.["address"], "127.0.0.1");
    });

    test("closes a connection that speaks plain HTTP, and serves the next one", async () => {
      const socket = connectTcp(service().port, "127.0.0.1");
      let text = "";
      socket.setEncoding("latin1").on("data", (chunk) => (text += String(chunk)));
      socket.on("error", () => undefined);
      socket.write("GET /v1/keys HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await once(socket, "close");
      assert.doesNotMatch(text, /^HTTP\/1\.1 [23]/);
      const client = await TlsClient.open(service().port, files);
      assert.equal((await client.ask("/ready")).status, 200);
      client.close();
    });
  });
}

describe("a new certificate", () => {
  test("comes to new connections, from RSA to ECDSA too, and no request of an open one fails", async () => {
    const files = makeCertificate("rsa", 0x11);
    await using service = await startTls(files);
    const trusted = { certFile: files.certFile, keyFile: files.keyFile };
    const before = await TlsClient.open(service.port, trusted);
    assert.equal(before.serial, "11");
    // Not in this process, whose own connections could suffer from what the server's side of it does.
    const askers = new Askers(service.port);
    await askers.begun();
    replaceCertificate(files, makeCertificate("ecdsa", 0x22));
    service.keystead.reloadTls();
    // The connection was open: it is answered still, and told to come back where that is needed.
    assert.equal((await before.ask("/ready")).status, 200);
    await waitForSerial(service.port, "22");
    assert.ok((await askers.end()) > 4);
    assert.match(service.logLines.join(""), /the TLS files were read anew/);
    before.close();
  });

  test("that does not serve changes nothing, and one clear line says so", async () => {
    const files = makeCertificate("ecdsa", 0x33);
    await using service = await startTls(files);
    const stranger = makeCertificate("ecdsa", 0x44);
    for (const [cert, key, wanted] of [
      [read(files.certFile), read(stranger.keyFile), /KEYSTEAD_TLS_KEY is not the key of the certificate/],
      ["nonsense", read(files.keyFile), /KEYSTEAD_TLS_CERT names a file that holds no certificate/],
      [read(files.certFile), "nonsense", /KEYSTEAD_TLS_KEY names a file that holds no private key/],
    ] as const) {
      const old = [read(files.certFile), read(files.keyFile)] as const;
      writeFileSync(files.certFile, cert);
      writeFileSync(files.keyFile, key);
      service.logLines.length = 0;
      service.keystead.reloadTls();
      assert.equal(service.logLines.length, 1);
      assert.match(service.logLines[0] ?? "", wanted);
      assert.match(service.logLines[0] ?? "", /stays as it was/);
      assert.doesNotMatch(service.logLines[0] ?? "", /nonsense|PRIVATE/);
      writeFileSync(files.certFile, old[0]);
      writeFileSync(files.keyFile, old[1]);
      const client = await TlsClient.open(service.port, files);
      assert.equal(client.serial, "33");
      assert.equal((await client.ask("/ready")).status, 200);
      client.close();
    }
  });
});

describe("a port with TLS", () => {
  test("is not shared with a second service", async () => {
    const files = makeCertificate("ecdsa", 1);
    await using service = await startTls(files);
    const settings = { ...tlsSettings(files), KEYSTEAD_ADDR: `127.0.0.1:${service.port}` };
    await assert.rejects(startServer(settings), /cannot be listened on; is it in use\?/);
  });
});

/** The output of `openssl s_client`, which trusts the one certificate. */
function openssl(port: number, { certFile }: CertificateFiles, options: readonly string[]): Promise<string> {
  const connection = ["-connect", `127.0.0.1:${port}`, "-CAfile", certFile, "-brief"];
  return new Promise((resolve) => {
    const child = execFile(
      "openssl",
      ["s_client", ...connection, ...options],
      { timeout: 10_000 },
      (_, stdout, stderr) => {
        resolve(stdout + stderr);
      },
    );
    child.stdin?.end();
  });
}

/** Clients in a process of their own, who ask again and again over connections that they keep. */
class Askers {
  readonly #child: ChildProcess;
  #printed = "";

  constructor(port: number) {
    const program = join(import.meta.dirname, "tls-askers.ts");
    const stdio = ["pipe", "pipe", "inherit"] as const;
    this.#child = spawn(process.execPath, [program, String(port)], { stdio: [...stdio] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text) => (this.#printed += String(text)));
  }

  /** Until each was answered once. */
  async begun(): Promise<void> {
    while (!this.#printed.includes("begun\n")) await once(this.#child.stdout ?? this.#child, "data");
  }

  /** Tells them to end; how many requests were answered. Rejects where one was not. */
  async end(): Promise<number> {
    const ended = once(this.#child, "close");
    this.#child.stdin?.end();
    await ended;
    assert.equal(this.#child.exitCode, 0, this.#printed);
    return Number(/(\d+) answered/.exec(this.#printed)?.[1]);
  }
}

/** Until ten new connections in a row get this certificate. */
async function waitForSerial(port: number, serial: string): Promise<void> {
  const deadline = performance.now() + RELOAD_MS_MAX;
  for (let row = 0; row < 10;) {
    // One that waits to be taken while the old server ends may be reset.
    const client = await TlsClient.open(port).catch(() => undefined);
    row = client?.serial === serial ? row + 1 : 0;
    client?.close();
    assert.ok(performance.now() < deadline, "new connections still get the old certificate");
  }
}

function read(path: string): string {
  return readFileSync(path, "utf8");
}
