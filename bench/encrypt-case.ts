/** Encryption of 256 bytes against a bare echo of the same body, with and without audit, and its latency at half the load. */
import { randomBytes } from "node:crypto";
import { CONNECTIONS, median, runWrk, Subject, type Figures, type Load } from "./measure.ts";
import { latencyLine, pacedRounds, requestText } from "./paced-load.ts";
import { RawClient } from "./raw-client.ts";

const KEY = "bench";

/** Prints the case's figures. */
export async function encryptCase(rounds: number, seconds: number): Promise<void> {
  const body = JSON.stringify({ plaintext_b64: randomBytes(256).toString("base64") });
  const encrypt: Load = { method: "POST", path: `/v1/encrypt/${KEY}`, body };

  const echo = await Subject.start("echo");
  const audited = await Subject.start("keystead");
  const unaudited = await Subject.start("keystead-no-audit");
  const subjects = [echo, audited, unaudited];
  for (const subject of [audited, unaudited]) await subject.post("/v1/keys", { name: KEY, type: "aes-256" });

  console.log(
    `encrypt of 256 bytes, ${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s, medians\n`,
  );
  for (const subject of subjects) await runWrk(subject, encrypt, 8);
  const figures = new Map<Subject, Figures[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) figures.get(subject)?.push(await runWrk(subject, encrypt, seconds));
  }
  const of = (subject: Subject, pick: (f: Figures) => number): number =>
    median((figures.get(subject) ?? []).map(pick));
  const ratio = (a: Subject, b: Subject, pick: (f: Figures) => number): number =>
    median((figures.get(a) ?? []).map((f, i) => pick(f) / pick((figures.get(b) ?? [])[i] ?? f)));
  const row = (name: string, subject: Subject): void => {
    const perSecond = of(subject, (f) => f.perSecond)
      .toFixed(0)
      .padStart(8);
    const cpu = of(subject, (f) => f.cpuMicros)
      .toFixed(1)
      .padStart(8);
    const share = ratio(subject, echo, (f) => f.perSecond)
      .toFixed(2)
      .padStart(8);
    const errors = (figures.get(subject) ?? []).reduce((sum, f) => sum + f.errors, 0);
    console.log(`${name.padEnd(28)}${perSecond} /s${cpu} µs CPU${share} of the echo  ${errors} errors`);
  };
  row("bare echo", echo);
  row("encrypt, audit written", audited);
  row("encrypt, audit off", unaudited);
  const auditCost = (1 - ratio(audited, unaudited, (f) => f.perSecond)) * 100;
  console.log(`\naudit costs ${auditCost.toFixed(1)} % of the throughput`);

  const highest = async (): Promise<number> => (await runWrk(audited, encrypt, 1)).perSecond;
  const bareOrder = { port: echo.port, request: requestText("", encrypt.path, body) };
  const order = { port: audited.port, request: requestText(audited.token, encrypt.path, body) };
  const load = { connections: CONNECTIONS, seconds };
  const bare = await pacedRounds({ ...bareOrder, ...load }, { rounds, highest });
  const calm = await pacedRounds({ ...order, ...load }, { rounds, highest });
  let created = 0;
  const disturb = async (over: AbortSignal): Promise<void> => {
    const client = await RawClient.connect(audited.port);
    while (!over.aborted) {
      const key = JSON.stringify({ name: `churn-${++created}`, type: "aes-256" });
      await client.request(Buffer.from(requestText(audited.token, "/v1/keys", key)));
    }
    client.close();
  };
  const busy = await pacedRounds({ ...order, ...load }, { rounds, highest, disturb });
  console.log("\nencrypt at half the saturating rate");
  console.log(latencyLine("the bare echo at that rate", bare));
  console.log(latencyLine("alone", calm));
  console.log(`${latencyLine("while keys are created", busy)}  (${created} keys)`);
  for (const subject of subjects) subject.stop();
}
