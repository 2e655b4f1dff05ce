/**
 * Encryption in the caller's process with a warm data key, against loops of bare AES-256-GCM (`node:crypto`), and a file of
 * 1 GiB against `openssl enc -aes-256-ctr`. A bare loop makes `nonce ‖ ciphertext ‖ tag` in one buffer, and opens that; beside
 * it stands one that leaves everything in parts, which nobody could store or has. Case and reference take turns in short runs, so that a drift of the machine meets both.
 */
import { spawnSync } from "node:child_process";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataKeyCaches, LocalCipher } from "../sdk/local-cipher.ts";
import { median } from "./measure.ts";

const FILE_MIB = 1024;
const SLICE_MS = 50;
const options = { authTagLength: 16 };

/** Prints the case's figures. */
export async function localCase(rounds: number, seconds: number): Promise<void> {
  console.log(`\nlocal encryption with a warm data key, ${rounds} rounds of ${seconds} s, medians`);
  for (const bytes of [256, 2 ** 20]) await messages(bytes, rounds, seconds);
  files(rounds);
}

async function messages(bytes: number, rounds: number, seconds: number): Promise<void> {
  const plaintext = randomBytes(bytes);
  const key = randomBytes(32);
  const cipher = cipherOf();
  const call = { context: "bench" };
  const message = await cipher.encrypt(plaintext, call);

  // What a program without the client would do: one buffer goes in, and one that can be stored comes out.
  const bareSeal = (): Buffer => {
    const nonce = randomBytes(12);
    const gcm = createCipheriv("aes-256-gcm", key, nonce, options);
    return Buffer.concat([nonce, gcm.update(plaintext), gcm.final(), gcm.getAuthTag()]);
  };
  const sealed = bareSeal();
  const bareOpen = (): Buffer => {
    const gcm = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12), options);
    gcm.setAuthTag(sealed.subarray(sealed.length - 16));
    const opened = gcm.update(sealed.subarray(12, sealed.length - 16));
    gcm.final();
    return opened;
  };
  // The least there is: parts that nobody joins, of a message that was cut up before.
  const bareParts = (): unknown => {
    const nonce = randomBytes(12);
    const gcm = createCipheriv("aes-256-gcm", key, nonce, options);
    return [nonce, gcm.update(plaintext), gcm.final(), gcm.getAuthTag()];
  };
  const [nonce, body, tag] = [sealed.subarray(0, 12), sealed.subarray(12, -16), sealed.subarray(-16)];
  const barePartsOpen = (): unknown => {
    const gcm = createDecipheriv("aes-256-gcm", key, nonce, options);
    gcm.setAuthTag(tag);
    return [gcm.update(body), gcm.final()];
  };
  const cases: [string, () => Promise<unknown>, readonly [string, () => unknown][]][] = [
    [
      "encrypt",
      () => cipher.encrypt(plaintext, call),
      [
        ["a bare loop", bareSeal],
        ["one in parts", bareParts],
      ],
    ],
    [
      "decrypt",
      () => cipher.decrypt(message, call),
      [
        ["a bare loop", bareOpen],
        ["one in parts", barePartsOpen],
      ],
    ],
  ];
  for (const [what, run, references] of cases) {
    const rates: number[] = [];
    const ratios = references.map((): number[] => []);
    const slices = Math.max(1, Math.round((seconds * 1000) / SLICE_MS));
    for (let slice = 0; slice < rounds * slices; slice++) {
      const rate = await ratePerSecond(run);
      rates.push(rate);
      for (const [i, [, reference]] of references.entries()) {
        ratios[i]?.push(rate / (await ratePerSecond(reference)));
      }
    }
    const shares = references.map(([name], i) => `${median(ratios[i] ?? []).toFixed(2)} of ${name}`);
    console.log(
      `${what} ${String(bytes).padStart(8)} B ${median(rates).toFixed(0).padStart(8)} /s  ${shares.join("  ")}`,
    );
  }
}

function files(rounds: number): void {
  const folder = mkdtempSync(join(tmpdir(), "keystead-bench-"));
  try {
    const source = join(folder, "plain");
    const file = openSync(source, "wx", 0o600);
    const piece = randomBytes(2 ** 20);
    for (let i = 0; i < FILE_MIB; i++) writeSync(file, piece);
    closeSync(file);
    const ours: number[] = [];
    const ratios: number[] = [];
    let residentBytes = 0;
    for (let round = 0; round < rounds; round++) {
      const key = randomBytes(32).toString("hex");
      const iv = randomBytes(16).toString("hex");
      const target = join(folder, "sealed");
      const openssl = timed("openssl", [
        ..."enc -aes-256-ctr -K".split(" "),
        ...[key, "-iv", iv, "-in", source, "-out", target],
      ]);
      rmSync(target);
      const script = join(import.meta.dirname, "local-file.ts");
      const client = timed(process.execPath, ["--no-env-file", script, source, target]);
      rmSync(target);
      ours.push(FILE_MIB / client.seconds);
      ratios.push(openssl.seconds / client.seconds);
      residentBytes = Math.max(residentBytes, Number(client.output));
    }
    console.log(
      `stream of ${FILE_MIB} MiB ${median(ours).toFixed(0)} MiB/s  ${median(ratios).toFixed(2)} of openssl enc  ${Math.round(residentBytes / 2 ** 20)} MiB of memory`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function timed(command: string, args: readonly string[]): { seconds: number; output: string } {
  const start = performance.now();
  const { status, stdout, error } = spawnSync(command, args, {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command} failed`, { cause: error });
  return { seconds: (performance.now() - start) / 1000, output: stdout };
}

/** How often it runs in a second, over a short while. */
async function ratePerSecond(run: () => unknown): Promise<number> {
  const start = performance.now();
  let count = 0;
  let now = start;
  while (now < start + SLICE_MS) {
    for (let i = 0; i < 8; i++) {
      const result = run();
      if (result instanceof Promise) await result;
    }
    count += 8;
    now = performance.now();
  }
  return (count / (now - start)) * 1000;
}

function cipherOf(): LocalCipher {
  const key = randomBytes(32);
  const service = {
    generateDataKey: () =>
      Promise.resolve({
        plaintext: Uint8Array.from(key),
        ciphertext: randomBytes(64).toString("base64"),
        version: 1,
      }),
    decrypt: () => Promise.resolve({ plaintext: Uint8Array.from(key), version: 1 }),
  };
  return new LocalCipher(service, "bench", undefined, new DataKeyCaches());
}
