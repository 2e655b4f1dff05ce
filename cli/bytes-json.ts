/** Bytes in a JSON result, as the API has them: always base64, and the text where they are UTF-8. */
import { Buffer } from "node:buffer";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** `{ <name>_b64 }`, and `{ <name> }` where the bytes are text. */
export function bytesAsJson(name: string, bytes: Uint8Array): Record<string, string> {
  const base64 = { [`${name}_b64`]: Buffer.from(bytes).toString("base64") };
  try {
    return { ...base64, [name]: utf8.decode(bytes) };
  } catch {
    return base64;
  }
}
