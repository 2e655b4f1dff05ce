/** The two stores side by side: keys created a second, and encryption, which hardly asks the store. */
import { randomBytes } from "node:crypto";
import { newDatabaseOn, startPostgres } from "../test/postgres.ts";
import { CONNECTIONS, median, runWrk, Subject, type Load } from "./measure.ts";

const KEY = "bench";

/** Prints the case's figures. */
export async function storageCase(rounds: number, seconds: number): Promise<void> {
  const postgres = await startPostgres({ durable: true });
  const sqlite = await Subject.start("keystead");
  const onPostgres = await Subject.start("keystead", await newDatabaseOn(postgres));
  const subjects = [
    { name: "SQLite", subject: sqlite },
    { name: "PostgreSQL", subject: onPostgres },
  ];
  const body = JSON.stringify({ plaintext_b64: randomBytes(256).toString("base64") });
  const encrypt: Load = { method: "POST", path: `/v1/encrypt/${KEY}`, body };
  const created = new Map<Subject, number[]>(subjects.map(({ subject }) => [subject, []]));
  const encrypted = new Map<Subject, number[]>(subjects.map(({ subject }) => [subject, []]));
  console.log(`the stores, ${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s, medians\n`);
  for (const { subject } of subjects) {
    await subject.post("/v1/keys", { name: KEY, type: "aes-256" });
    await runWrk(subject, encrypt, 5);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { subject } of subjects)
      encrypted.get(subject)?.push((await runWrk(subject, encrypt, seconds)).perSecond);
  }
  // Afterwards: what a database has to do later would fall on the encryption that comes next.
  for (let round = 0; round < rounds; round++) {
    for (const { subject } of subjects)
      created.get(subject)?.push(await creations(subject, `r${round}`, seconds));
  }
  for (const [what, figures] of [
    ["keys created", created],
    ["encrypt, 256 bytes", encrypted],
  ] as const) {
    const [one, other] = subjects.map(({ subject }) => figures.get(subject) ?? []);
    const ratio = median((other ?? []).map((value, i) => value / (one?.[i] ?? NaN)));
    const shown = subjects.map(
      ({ name, subject }) => `${name} ${median(figures.get(subject) ?? []).toFixed(0)} /s`,
    );
    console.log(`${what.padEnd(20)}${shown.join("   ")}   PostgreSQL ${ratio.toFixed(3)} of SQLite`);
  }
  for (const { subject } of subjects) subject.stop();
  postgres.stop();
}

/** Keys created a second by as many clients as there are connections. */
async function creations(subject: Subject, prefix: string, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let created = 0;
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async (_, client) => {
      for (let i = 0; performance.now() < end; i++) {
        const { id } = await subject.post("/v1/keys", { name: `${prefix}-${client}-${i}`, type: "aes-256" });
        if (id !== undefined) created++;
      }
    }),
  );
  return created / seconds;
}
