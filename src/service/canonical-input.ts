/**
 * An operation's input as bytes: what the keyed hash of a request is taken of.
 * Invariant: two inputs give the same bytes exactly if they ask for the same thing: the order of an object's members does
 * not matter, a member that is undefined is as good as absent, and bytes are not text.
 * Layout: one letter for the kind of value, then its content; texts and bytes carry their length in bytes (4 bytes
 * big-endian) before them, arrays and objects the number of their items.
 */
import { Buffer } from "node:buffer";

/** The canonical bytes of an input. Throws for what no operation takes: a function, a symbol, an object with a class. */
export function canonicalInput(input: unknown): Buffer {
  const parts: Uint8Array[] = [];
  write(parts, input);
  return Buffer.concat(parts);
}

function write(parts: Uint8Array[], value: unknown): void {
  if (value === undefined) parts.push(tagged("u", 0));
  else if (value === null) parts.push(tagged("0", 0));
  else if (typeof value === "string") writeBytes(parts, "s", Buffer.from(value, "utf8"));
  else if (typeof value === "number") writeBytes(parts, "n", Buffer.from(String(value), "latin1"));
  else if (typeof value === "boolean") parts.push(tagged("t", value ? 1 : 0));
  else if (value instanceof Uint8Array) writeBytes(parts, "b", value);
  else if (Array.isArray(value)) {
    parts.push(tagged("a", value.length));
    for (const item of value as readonly unknown[]) write(parts, item);
  } else if (isPlainObject(value)) {
    const names = Object.keys(value)
      .filter((name) => value[name] !== undefined)
      .sort();
    parts.push(tagged("o", names.length));
    for (const name of names) {
      write(parts, name);
      write(parts, value[name]);
    }
  } else throw new Error("an operation's input holds a value that has no canonical form");
}

function writeBytes(parts: Uint8Array[], tag: string, bytes: Uint8Array): void {
  parts.push(tagged(tag, bytes.length), bytes);
}

function tagged(tag: string, count: number): Buffer {
  const head = Buffer.alloc(5);
  head.write(tag, "latin1");
  head.writeUInt32BE(count, 1);
  return head;
}

function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
