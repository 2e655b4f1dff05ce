/**
 * Signatures of a message of 256 bytes with ECDSA P-256 and Ed25519, against the bare primitive, the bare echo, and a bare
 * server that signs: what is left of the echo where each request holds the thread for a signature.
 */
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
    const signer = await Subject.start(type);
    for (const one of [echo, signer, subject]) await runWrk(one, load, 5);
    const ofPrimitive: number[] = [];
    const ofEcho: number[] = [];
    const ofSigner: number[] = [];
    const signerOfEcho: number[] = [];
    const rates: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const bare = await bareLoop(type, seconds);
      const reference = await runWrk(echo, load, seconds);
      const bareSigner = await runWrk(signer, load, seconds);
      const { perSecond } = await runWrk(subject, load, seconds);
      rates.push(perSecond);
      ofPrimitive.push(perSecond / bare);
      ofEcho.push(perSecond / reference.perSecond);
      ofSigner.push(perSecond / bareSigner.perSecond);
      signerOfEcho.push(bareSigner.perSecond / reference.perSecond);
    }
    signer.stop();
    const share = (ratios: number[]): string => median(ratios).toFixed(2);
    console.log(
      `${type.padEnd(14)}${median(rates).toFixed(0).padStart(8)} /s  ${share(ofPrimitive)} of the primitive  ${share(ofEcho)} of the echo  ` +
        `${share(ofSigner)} of a bare server that signs, which has ${share(signerOfEcho)} of the echo`,
    );
  }
  echo.stop();
  subject.stop();
}
