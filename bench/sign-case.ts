/** Signatures of a message of 256 bytes with ECDSA P-256 and Ed25519, against the bare primitive and the bare echo. */
import { randomBytes } from "node:crypto";
import { bareLoop, median, runWrk, Subject, type Load } from "./measure.ts";

/** Prints the case's figures. */
export async function signCase(rounds: number, seconds: number): Promise<void> {
  const body = JSON.stringify({ message_b64: randomBytes(256).toString("base64") });
  const echo = await Subject.start("echo");
  const subject = await Subject.start("keystead");
  console.log(`\nsign a message of 256 bytes, ${rounds} rounds of ${seconds} s, medians`);
  for (const type of ["ecdsa-p256", "ed25519"]) {
    await subject.post("/v1/keys", { name: type, type });
    const load: Load = { method: "POST", path: `/v1/keys/${type}/sign`, body };
    for (const one of [echo, subject]) await runWrk(one, load, 5);
    const ofPrimitive: number[] = [];
    const ofEcho: number[] = [];
    const rates: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const bare = await bareLoop(type, seconds);
      const reference = await runWrk(echo, load, seconds);
      const { perSecond } = await runWrk(subject, load, seconds);
      rates.push(perSecond);
      ofPrimitive.push(perSecond / bare);
      ofEcho.push(perSecond / reference.perSecond);
    }
    const share = (ratios: number[]): string => median(ratios).toFixed(2);
    console.log(
      `${type.padEnd(14)}${median(rates).toFixed(0).padStart(8)} /s  ${share(ofPrimitive)} of the primitive  ${share(ofEcho)} of the echo`,
    );
  }
  echo.stop();
  subject.stop();
}
