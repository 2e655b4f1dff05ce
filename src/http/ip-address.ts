/**
 * IP addresses as numbers: parsed strictly, compared by prefix, written in one form.
 * Layout: eight groups of 16 bits; an IPv4 address stands as its IPv4-mapped form, `::ffff:a.b.c.d`.
 * Invariant: one address has one text (IPv4 dotted, IPv6 as in RFC 5952), whatever form it came in.
 */

/** Eight groups of 16 bits. */
export type AddressGroups = readonly number[];

/** A block of addresses: the groups of its first address, and how many leading bits of 128 count. */
export interface AddressBlock {
  readonly groups: AddressGroups;
  readonly bits: number;
}

const GROUPS = 8;
const MAPPED: AddressGroups = [0, 0, 0, 0, 0, 0xffff];
/** The bits before an IPv4 address in its mapped form. */
const MAPPED_BITS = 96;

/** The address that a text stands for, without port, brackets or zone; undefined where it is none. */
export function parseAddress(text: string): AddressGroups | undefined {
  if (!text.includes(":")) {
    const ipv4 = parseIpv4(text);
    return ipv4 === undefined ? undefined : [...MAPPED, ...ipv4];
  }
  const [head = "", tail, ...more] = text.split("::");
  if (more.length > 0) return undefined;
  const first = parseGroups(head, tail === undefined);
  if (tail === undefined) return first?.length === GROUPS ? first : undefined;
  const last = parseGroups(tail, true);
  if (first === undefined || last === undefined) return undefined;
  const missing = GROUPS - first.length - last.length;
  return missing < 1 ? undefined : [...first, ...new Array<number>(missing).fill(0), ...last];
}

/** The one text of an address. */
export function addressText(groups: AddressGroups): string {
  if (MAPPED.every((group, i) => group === groups[i])) {
    return [groups[6] ?? 0, groups[7] ?? 0].flatMap((group) => [group >> 8, group & 255]).join(".");
  }
  const { start, length } = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  return length < 2
    ? hex.join(":")
    : `${hex.slice(0, start).join(":")}::${hex.slice(start + length).join(":")}`;
}

/** A block from `address` or `address/bits`; undefined where it is none, or where bits beyond the prefix are set. */
export function parseBlock(text: string): AddressBlock | undefined {
  const [address = "", suffix, ...more] = text.split("/");
  const groups = parseAddress(address);
  if (groups === undefined || more.length > 0) return undefined;
  if (suffix === undefined) return { groups, bits: 128 };
  const given = /^(0|[1-9][0-9]{0,2})$/.test(suffix) ? Number(suffix) : Infinity;
  const bits = given + (address.includes(":") ? 0 : MAPPED_BITS);
  if (bits > 128) return undefined;
  const isWhole = groups.every((group, i) => (group & ~maskOf(i, bits)) === 0);
  return isWhole ? { groups, bits } : undefined;
}

/** True where the address is in the block. */
export function isInBlock(address: AddressGroups, { groups, bits }: AddressBlock): boolean {
  return groups.every((group, i) => (((address[i] ?? 0) ^ group) & maskOf(i, bits)) === 0);
}

/**
 * The name under which an address is limited: an IPv4 address itself, of an IPv6 address its /64, since whoever has one
 * address of it has them all.
 * @param address as a listener hands it over
 */
export function limitedName(address: string): string {
  if (!address.includes(":")) return address;
  const zone = address.indexOf("%");
  const groups = parseAddress(zone === -1 ? address : address.slice(0, zone));
  if (groups === undefined) return address;
  return `${addressText([...groups.slice(0, 4), 0, 0, 0, 0])}/64`;
}

/** The bits of one group that belong to the prefix. */
function maskOf(group: number, bits: number): number {
  const own = Math.min(16, Math.max(0, bits - group * 16));
  return (0xffff << (16 - own)) & 0xffff;
}

function parseIpv4(text: string): [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const parts = match.slice(1).map((part) => (/^0\d/.test(part) ? Infinity : Number(part)));
  const [a = 0, b = 0, c = 0, d = 0] = parts;
  return Math.max(a, b, c, d) > 255 ? undefined : [a * 256 + b, c * 256 + d];
}

/** The groups between colons; the last may be an IPv4 address where it ends the whole. */
function parseGroups(text: string, isEnd: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [i, part] of parts.entries()) {
    const ipv4 = isEnd && i === parts.length - 1 && part.includes(".") ? parseIpv4(part) : undefined;
    if (ipv4 !== undefined) groups.push(...ipv4);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function longestZeros(groups: AddressGroups): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < GROUPS; start++) {
    let end = start;
    while (end < GROUPS && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  return best;
}
