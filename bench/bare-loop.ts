/** Prints how often a bare primitive runs in a second: the reference that the service's own figures are held against. */
import { createCipheriv, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";

const [kind = "", seconds = "1"] = process.argv.slice(2);
const WARM_UP_MS = 500;
const message = randomBytes(256);

const privateKey = (): KeyObject =>
  kind === "ecdsa-p256"
    ? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey
    : kind === "ed25519"
      ? generateKeyPairSync("ed25519").privateKey
      : generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

function primitive(): () => unknown {
  if (kind === "aes-256-gcm") {
    const key = randomBytes(32);
    return () => {
      const cipher = createCipheriv("aes-256-gcm", key, randomBytes(12), { authTagLength: 16 });
      return [cipher.update(message), cipher.final(), cipher.getAuthTag()];
    };
  }
  const key = privateKey();
  const digest = kind === "ed25519" ? null : "sha256";
  return () => sign(digest, message, key);
}

const run = primitive();
/** How many a second, over so many milliseconds. */
function rate(ms: number): number {
  const start = performance.now();
  let count = 0;
  let now = start;
  while (now < start + ms) {
    for (let i = 0; i < 16; i++) run();
    count += 16;
    now = performance.now();
  }
  return (count / (now - start)) * 1000;
}
rate(WARM_UP_MS);
process.stdout.write(rate(Number(seconds) * 1000).toFixed(0));
