/** GET of a client's data encryption key, audit written, against a bare echo of an answer of the same length. */
import { CONNECTIONS, median, runWrk, Subject, type Load } from "./measure.ts";

/** As long as the answer of the service. */
const BODY = JSON.stringify({ decryptWith: "x".repeat(150), encryptWith: "x".repeat(150) });

/** Prints the case's figures. */
export async function dekCase(rounds: number, seconds: number): Promise<void> {
  const echo = await Subject.start("echo");
  const subject = await Subject.start("keystead-clients");
  await subject.post("/keys/actions/generate", { keyReference: "bench" });
  const get: Load = { method: "GET", path: "/keys/bench/1", body: "" };
  const post: Load = { method: "POST", path: "/", body: BODY };
  console.log(
    `\nGET of a data encryption key, ${CONNECTIONS} connections, ${rounds} rounds of ${seconds} s, medians`,
  );
  await runWrk(echo, post, 5);
  await runWrk(subject, get, 5);
  const rates: number[] = [];
  const cpu: number[] = [];
  const shares: number[] = [];
  let errors = 0;
  for (let round = 0; round < rounds; round++) {
    const reference = await runWrk(echo, post, seconds);
    const figures = await runWrk(subject, get, seconds);
    rates.push(figures.perSecond);
    cpu.push(figures.cpuMicros);
    shares.push(figures.perSecond / reference.perSecond);
    errors += figures.errors;
  }
  const perSecond = median(rates).toFixed(0);
  const micros = median(cpu).toFixed(1);
  console.log(
    `audit written ${perSecond} /s  ${micros} µs CPU  ${median(shares).toFixed(2)} of the echo  ${errors} errors`,
  );
  echo.stop();
  subject.stop();
}
