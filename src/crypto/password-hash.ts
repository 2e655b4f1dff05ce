/**
 * Hashes of passwords: Argon2id (RFC 9106) in the PHC string format,
 * `$argon2id$v=19$m=<KiB>,t=<passes>,p=<lanes>$<salt>$<hash>`, salt and hash in base64 without padding.
 * Parameters: 19 MiB, two passes, one lane, from OWASP's list of equals; the one with little memory, so that several waiting
 * logins cost no more of it than one.
 * Invariant: the work is done by threads of a low priority, at most two at once; a password that did not come (no such
 * account) costs what one costs that is wrong. Callers bound how many wait.
 */
import { Buffer } from "node:buffer";
import { equalConstantTime, wipe } from "../bytes.ts";
import type { Argon2Cost } from "./off-loop-tasks.ts";
import { randomSecret } from "./random.ts";
import { noKey, WorkerPool } from "./worker-pool.ts";

/** What fresh hashes cost. Growing these makes each account's hash anew at its next login. */
export const passwordCost: Argon2Cost = { memoryKib: 19 * 1024, passes: 2, lanes: 1, bytes: 32 };
/** One thread on two cores: a storm of logins shall leave the event loop its own. */
export const PASSWORDS_AT_ONCE = navigator.hardwareConcurrency > 2 ? 2 : 1;

const SALT_BYTES = 16;
const WAITING_MAX = 256;
const VERSION = 19;
/** Bounds of what a stored text may ask for, so that none can take the memory of the machine. */
const MEMORY_KIB_MAX = 1024 * 1024;
const PASSES_MAX = 64;
const phc =
  /^\$argon2id\$v=(\d{1,3})\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

const workers = new WorkerPool({
  file: new URL("./off-loop-worker.ts", import.meta.url),
  workersMax: PASSWORDS_AT_ONCE,
  waitingMax: WAITING_MAX,
});
/** Stands for the hash of an account that has none. */
const dummySalt = Buffer.alloc(SALT_BYTES, 0x5a);
let runs = 0;

/** How many passwords were hashed since the start: the work that callers compare. */
export function passwordHashRuns(): number {
  return runs;
}

/** The hash of a password, with a salt of its own. The password is wiped. */
export async function hashPassword(password: Uint8Array, cost: Argon2Cost = passwordCost): Promise<string> {
  const salt = randomSecret(SALT_BYTES);
  const hash = await argon2id(password, salt, cost);
  const text = `$argon2id$v=${VERSION}$m=${cost.memoryKib},t=${cost.passes},p=${cost.lanes}$${unpadded(salt)}$${unpadded(hash)}`;
  wipe(hash);
  return text;
}

/**
 * Whether a password is the one that was hashed. The password is wiped.
 * @param stored undefined where there is none: then the same work is done, and the answer is no
 */
export async function verifyPassword(password: Uint8Array, stored: string | undefined): Promise<boolean> {
  const parsed = stored === undefined ? undefined : parsePhc(stored);
  const hash = await argon2id(password, parsed?.salt ?? dummySalt, parsed?.cost ?? passwordCost);
  const same = equalConstantTime(hash, parsed?.hash ?? Buffer.alloc(hash.length));
  wipe(hash);
  return parsed !== undefined && same;
}

/** Whether a hash costs less than a fresh one would. */
export function isOutdated(stored: string, wanted: Argon2Cost = passwordCost): boolean {
  const cost = parsePhc(stored)?.cost;
  return (
    cost === undefined ||
    cost.memoryKib < wanted.memoryKib ||
    cost.passes < wanted.passes ||
    cost.bytes < wanted.bytes
  );
}

async function argon2id(message: Uint8Array, salt: Uint8Array, cost: Argon2Cost): Promise<Uint8Array> {
  runs++;
  try {
    const hash = await workers.run(noKey, { run: "argon2id", message, salt, cost });
    if (hash instanceof Uint8Array) return hash;
    throw new Error("a task that hashes a password answered no hash");
  } finally {
    wipe(message);
  }
}

interface ParsedPhc {
  readonly cost: Argon2Cost;
  readonly salt: Buffer;
  readonly hash: Buffer;
}

function parsePhc(text: string): ParsedPhc | undefined {
  const match = phc.exec(text);
  if (match === null) return undefined;
  const [, version, memory, passes, lanes, salt = "", hash = ""] = match;
  const cost = {
    memoryKib: Number(memory),
    passes: Number(passes),
    lanes: Number(lanes),
    bytes: Math.floor((hash.length * 3) / 4),
  };
  const isBounded =
    Number(version) === VERSION &&
    cost.lanes > 0 &&
    cost.passes > 0 &&
    cost.passes <= PASSES_MAX &&
    cost.memoryKib >= 8 * cost.lanes &&
    cost.memoryKib <= MEMORY_KIB_MAX;
  if (!isBounded) return undefined;
  return { cost, salt: Buffer.from(salt, "base64"), hash: Buffer.from(hash, "base64") };
}

function unpadded(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replace(/=+$/, "");
}
