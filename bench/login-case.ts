/**
 * What logins cost: encryption of 256 bytes with a login's JWT beside the same with an API token, and encryption at half of
 * its highest rate in a storm of wrong passwords, with the memory that the storm leaves.
 */
import { randomBytes } from "node:crypto";
import { CONNECTIONS, median, runWrk, Subject, type Load } from "./measure.ts";
import { latencyLine, pacedRounds, requestText } from "./paced-load.ts";
import { RawClient } from "./raw-client.ts";

const KEY = "bench";
const PASSWORD = "correct horse battery";

/** Prints the case's figures. */
export async function loginCase(rounds: number, seconds: number): Promise<void> {
  const subject = await Subject.start("keystead-behind-proxy");
  await subject.post("/v1/keys", { name: KEY, type: "aes-256" });
  const login = String((await subject.post("/v1/login", { account: "bench", password: PASSWORD }))["token"]);
  const body = JSON.stringify({ plaintext_b64: randomBytes(256).toString("base64") });
  const encrypt: Load = { method: "POST", path: `/v1/encrypt/${KEY}`, body };
  const withLogin: Load = { ...encrypt, token: login };
  await runWrk(subject, encrypt, 5);
  await runWrk(subject, withLogin, 3);
  const highest: number[] = [];
  const ratios: number[] = [];
  const extraMicros: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const plain = await runWrk(subject, encrypt, seconds);
    const logged = await runWrk(subject, withLogin, seconds);
    highest.push(plain.perSecond);
    ratios.push(logged.perSecond / plain.perSecond);
    extraMicros.push(logged.cpuMicros - plain.cpuMicros);
    if (logged.errors > 0) throw new Error("the login was refused");
  }
  console.log(`\nlogins, ${rounds} rounds of ${seconds} s, medians`);
  console.log(
    `encrypt with an API token  ${median(highest).toFixed(0)} /s; with a login ${median(ratios).toFixed(2)} of it, ` +
      `${median(extraMicros).toFixed(1)} µs CPU more`,
  );
  const highestNow = async (): Promise<number> => (await runWrk(subject, encrypt, 1)).perSecond;
  const request = requestText(subject.token, encrypt.path, body);
  console.log("encrypt at half of its highest rate");
  const order = { port: subject.port, request, connections: CONNECTIONS, seconds };
  console.log(latencyLine("alone", await pacedRounds(order, { rounds, highest: highestNow })));
  const before = await subject.residentBytes();
  const statuses = new Map<number, number>();
  const disturb = (over: AbortSignal): Promise<void> => passwordStorm(subject.port, over, statuses);
  const result = await pacedRounds(order, { rounds, highest: highestNow, disturb });
  const after = await subject.residentBytes();
  console.log(latencyLine("in a storm of wrong passwords", result));
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const counted = [...statuses].map(([status, count]) => `${count} of ${status}`).join(", ");
  console.log(
    `(${CONNECTIONS} connections; answers: ${counted}; memory ${mib(before)} before, ${mib(after)} after)`,
  );
  subject.stop();
}

let tries = 0;

/** Connections that send wrong passwords without pause, each from another address, for a known account and for none. */
async function passwordStorm(port: number, over: AbortSignal, statuses: Map<number, number>): Promise<void> {
  const clients = await Promise.all(Array.from({ length: CONNECTIONS }, () => RawClient.connect(port)));
  const all = clients.map(async (client) => {
    while (!over.aborted) {
      const n = ++tries;
      const address = `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`;
      const body = { account: n % 2 === 0 ? "bench" : `none-${n}`, password: `wrong horse ${n}` };
      const headers = { "X-Forwarded-For": address };
      const request = requestText("", "/v1/login", JSON.stringify(body), headers);
      const status = await client.request(Buffer.from(request));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    client.close();
  });
  await Promise.all(all);
}
