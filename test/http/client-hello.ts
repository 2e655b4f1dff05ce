/**
 * The first message of a TLS handshake, written by hand: it offers what no library of today would offer any more.
 * Layout: RFC 5246 §7.4.1.2; the answer is a ServerHello (RFC 5246 §7.4.1.3) or an alert (§7.2).
 */
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { connect } from "node:net";

/** What the server said to it. */
export type HelloAnswer =
  | { readonly kind: "alert"; readonly description: number }
  | { readonly kind: "hello"; readonly version: number; readonly suite: number }
  | { readonly kind: "closed" };

/** Offers exactly these suites, by their numbers, in this version of the protocol at most. */
export async function sayHello(
  port: number,
  version: number,
  suites: readonly number[],
): Promise<HelloAnswer> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  let answer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk]);
    if (answer.length >= 5 && answer.length >= 5 + answer.readUInt16BE(3)) socket.destroy();
  });
  socket.on("error", () => undefined);
  socket.write(clientHello(version, suites));
  if (!socket.destroyed) await once(socket, "close");
  if (answer[0] === 0x15) return { kind: "alert", description: answer[6] ?? -1 };
  if (answer[0] !== 0x16) return { kind: "closed" };
  const sessionBytes = answer[43] ?? 0;
  return { kind: "hello", version: answer.readUInt16BE(9), suite: answer.readUInt16BE(44 + sessionBytes) };
}

function clientHello(version: number, suites: readonly number[]): Buffer {
  // x25519, P-256, P-384 and a finite field group; uncompressed points; every signature of RSA and ECDSA there was.
  const groups = extension(0x000a, sized(2, u16(0x001d, 0x0017, 0x0018, 0x0100)));
  const points = extension(0x000b, sized(1, Buffer.from([0])));
  const signatures = [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201];
  const extensions = [groups, points, extension(0x000d, sized(2, u16(...signatures)))];
  const body = Buffer.concat([
    u16(version),
    Buffer.alloc(32, 7),
    sized(1, Buffer.alloc(0)),
    sized(2, u16(...suites)),
    sized(1, Buffer.from([0])),
    sized(2, Buffer.concat(extensions)),
  ]);
  const handshake = Buffer.concat([Buffer.from([1]), sized(3, body)]);
  return Buffer.concat([Buffer.from([0x16]), u16(0x0301), sized(2, handshake)]);
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([u16(type), sized(2, content)]);
}

function u16(...values: number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [value >> 8, value & 255]));
}

function sized(lengthBytes: number, content: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
}
