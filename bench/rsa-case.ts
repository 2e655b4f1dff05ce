/**
 * What slow algorithms cost others: RSA-2048 signatures without pause, and RSA-4096 keys one after the other, beside
 * encryption at half of its highest rate.
 */
import { randomBytes } from "node:crypto";
import { bareLoop, CONNECTIONS, median, runWrk, Subject, type Load } from "./measure.ts";
import { latencyLine, pacedRounds, requestText } from "./paced-load.ts";

const SIGNING_CONNECTIONS = 8;

/** Prints the case's figures. */
export async function rsaCase(rounds: number, seconds: number): Promise<void> {
  const subject = await Subject.start("keystead");
  await subject.post("/v1/keys", { name: "bench", type: "aes-256" });
  await subject.post("/v1/keys", { name: "rsa", type: "rsa-2048" });
  const body = JSON.stringify({ plaintext_b64: randomBytes(256).toString("base64") });
  const encrypt: Load = { method: "POST", path: "/v1/encrypt/bench", body };
  const sign: Load = {
    method: "POST",
    path: "/v1/keys/rsa/sign",
    body: JSON.stringify({ message: "x" }),
    connections: SIGNING_CONNECTIONS,
  };
  await runWrk(subject, encrypt, 5);
  await runWrk(subject, sign, 3);
  const signed: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const bare = await bareLoop("rsa-2048", seconds);
    const { perSecond } = await runWrk(subject, sign, seconds);
    signed.push(perSecond);
    ratios.push(perSecond / bare);
  }
  console.log(`\nRSA beside encryption, ${rounds} rounds of ${seconds} s, medians`);
  console.log(
    `RSA-2048 sign  ${median(signed).toFixed(0)} /s  ${median(ratios).toFixed(2)} of one core's bare loop`,
  );
  const highest = async (): Promise<number> => (await runWrk(subject, encrypt, 1)).perSecond;
  const request = requestText(subject.token, encrypt.path, body);
  const order = { port: subject.port, request, connections: CONNECTIONS, seconds };
  console.log("encrypt at half of its highest rate");
  console.log(latencyLine("alone", await pacedRounds(order, { rounds, highest })));
  const beside = async (name: string, disturb: (over: AbortSignal) => Promise<void>): Promise<void> => {
    console.log(latencyLine(name, await pacedRounds(order, { rounds, highest, disturb })));
  };
  await beside("beside RSA-2048 signatures", async () => {
    await runWrk(subject, sign, seconds + 1);
  });
  let made = 0;
  await beside("beside RSA-4096 keys being made", async (over) => {
    while (!over.aborted) {
      await subject.post("/v1/keys", { name: `rsa-${++made}`, type: "rsa-4096" });
    }
  });
  console.log(`(${made} keys of 4096 bits)`);
  subject.stop();
}
