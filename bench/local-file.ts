/** Encrypts a file with the client's streams, under a data key of its own making, and prints the most memory it took. */
import { randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { DataKeyCaches, LocalCipher } from "../sdk/local-cipher.ts";

const [source = "", target = ""] = process.argv.slice(2);
const PIECE_BYTES = 2 ** 20;
const service = {
  generateDataKey: () =>
    Promise.resolve({
      plaintext: randomBytes(32),
      ciphertext: randomBytes(64).toString("base64"),
      version: 1,
    }),
  decrypt: () => Promise.reject(new Error("nothing is decrypted here")),
};
const cipher = new LocalCipher(service, "bench", undefined, new DataKeyCaches());

const input = await open(source);
const output = await open(target, "w", 0o600);
const stream = cipher.encryptStream();
const writer = stream.writable.getWriter();
const written = (async () => {
  for await (const bytes of stream.readable) await output.write(bytes);
})();
for (;;) {
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  const { bytesRead } = await input.read(piece);
  if (bytesRead === 0) break;
  await writer.write(piece.subarray(0, bytesRead));
}
await writer.close();
await written;
await input.close();
await output.close();
process.stdout.write(String(process.resourceUsage().maxRSS * 1024));
