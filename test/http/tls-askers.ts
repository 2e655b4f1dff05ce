/**
 * A program of four clients of the port that it is given: each asks again and again over a connection that it keeps, and over
 * a new one where it is told so, until standard input ends. Prints `begun` when each was answered once, and at the end how
 * many answers there were. A request that fails ends it with code 1.
 */
import { TlsClient } from "./tls-client.ts";

const CLIENTS = 4;

const port = Number(process.argv[2]);
let isEnding = false;
let begun = 0;
let answered = 0;
process.stdin.resume().on("end", () => (isEnding = true));
try {
  await Promise.all(Array.from({ length: CLIENTS }, askUntilEnd));
  process.stdout.write(`${answered} answered\n`);
} catch (error) {
  process.stdout.write(`${String(error)} after ${answered} answers\n`);
  process.exit(1);
}

async function askUntilEnd(): Promise<void> {
  let client = await TlsClient.open(port);
  for (let asked = 0; !isEnding; asked++) {
    const { status, closing } = await client.ask("/ready");
    if (status !== 200) throw new Error(`answered with ${status}`);
    answered++;
    if (asked === 0 && ++begun === CLIENTS) process.stdout.write("begun\n");
    if (!closing) continue;
    client.close();
    client = await TlsClient.open(port);
  }
  client.close();
}
