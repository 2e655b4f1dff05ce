/**
 * The audit entry and its canonical form.
 * Canonical: one JSON object a line, members in the order of their names, no white space, `\n` at the end (RFC 8785 for
 * the strings and integers that occur here). `details` is a flat object whose members are sorted as well.
 * Invariant: an entry holds names, counts and codes only; never a plaintext, a key, a token or a secret value.
 */
export type Severity = "INFO" | "WARNING" | "CRITICAL";

/** What happened, as far as the one who acted knows it. */
export interface AuditFacts {
  /** The operation's id, such as `key.rotate`. */
  readonly action: string;
  /** The client's address, or "local" for what the service does by itself. */
  readonly address: string;
  /** Kind and name, such as `service:billing`. */
  readonly caller: string;
  readonly decision: "allow" | "deny";
  /** "ok", or the code of the error that was answered. */
  readonly outcome: string;
  /** The project's name; "" where the operation is about none. */
  readonly project: string;
  /** The request id that the answer carries. */
  readonly request: string;
  /** Kind and name, such as `key:orders`; "" where there is none. */
  readonly resource: string;
  /** The version of the resource that was made or used; 0 where there is none. */
  readonly version: number;
  readonly severity: Severity;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** An entry that waits for its place in the log. */
export interface AuditEntry extends AuditFacts {
  /** The entry's own id, the service's. */
  readonly id: string;
  readonly node: string;
  /** ISO 8601, UTC, milliseconds. */
  readonly time: string;
}

/** The entry's line in the log, at its place in the node's sequence (from 1, without gaps). */
export function canonicalLine(entry: AuditEntry, sequence: number): string {
  const { details, id, request } = entry;
  if (details !== undefined || !isPlain(id) || !isPlain(request)) return writtenOut(entry, sequence);
  let frame = frames.get(entry.resource);
  if (frame === undefined || !fits(frame, entry)) {
    frame = frameOf(entry);
    if (frames.size >= FRAMES_MAX) frames.clear();
    frames.set(entry.resource, frame);
  }
  const { beforeId, beforeRequest, beforeSequence, beforeTime, end } = frame;
  return `${beforeId}${id}${beforeRequest}${request}${beforeSequence}${sequence}${beforeTime}${timeText(entry.time)}${end}`;
}

function writtenOut(entry: AuditEntry, sequence: number): string {
  const { details } = entry;
  // The members stand in alphabetical order: JSON.stringify keeps the order in which they were written.
  return `${JSON.stringify({
    action: entry.action,
    address: entry.address,
    caller: entry.caller,
    decision: entry.decision,
    details: details === undefined ? undefined : sorted(details),
    id: entry.id,
    node: entry.node,
    outcome: entry.outcome,
    project: entry.project,
    request: entry.request,
    resource: entry.resource,
    sequence,
    severity: entry.severity,
    time: entry.time,
    version: entry.version,
  })}\n`;
}

/**
 * What the lines of a caller that uses one resource again and again have in common: the text between the members that
 * differ. Writing a line out costs several times as much as setting the four into a frame.
 */
interface Frame {
  readonly of: AuditEntry;
  readonly beforeId: string;
  readonly beforeRequest: string;
  readonly beforeSequence: string;
  readonly beforeTime: string;
  readonly end: string;
}

const FRAMES_MAX = 1024;
/** By resource, for the latest entry that was not like the one before it. */
const frames = new Map<string, Frame>();

function fits({ of }: Frame, entry: AuditEntry): boolean {
  return (
    of.action === entry.action &&
    of.caller === entry.caller &&
    of.project === entry.project &&
    of.version === entry.version &&
    of.address === entry.address &&
    of.outcome === entry.outcome &&
    of.decision === entry.decision &&
    of.severity === entry.severity &&
    of.node === entry.node
  );
}

function frameOf(entry: AuditEntry): Frame {
  const text = (member: keyof AuditEntry): string => `"${member}":${JSON.stringify(entry[member])}`;
  return {
    of: entry,
    beforeId: `{${text("action")},${text("address")},${text("caller")},${text("decision")},"id":"`,
    beforeRequest: `",${text("node")},${text("outcome")},${text("project")},"request":"`,
    beforeSequence: `",${text("resource")},"sequence":`,
    beforeTime: `,${text("severity")},"time":`,
    end: `,${text("version")}}\n`,
  };
}

let lastTime = "";
let lastTimeText = '""';

/** As JSON; the entries of a turn share their time. */
function timeText(time: string): string {
  if (time !== lastTime) {
    lastTime = time;
    lastTimeText = JSON.stringify(time);
  }
  return lastTimeText;
}

/** Whether a text needs no escape in JSON. */
function isPlain(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return false;
  }
  return true;
}

/** The entry that a line holds, or undefined for a line that this service did not write whole. */
export function parseLine(line: string): (AuditEntry & { readonly sequence: number }) | undefined {
  try {
    const value = JSON.parse(line) as AuditEntry & { readonly sequence: number };
    if (!Number.isSafeInteger(value.sequence) || !texts.every((member) => typeof value[member] === "string"))
      return undefined;
    return canonicalLine(value, value.sequence) === `${line}\n` ? value : undefined;
  } catch {
    return undefined;
  }
}

const texts = [
  "action",
  "address",
  "caller",
  "id",
  "node",
  "outcome",
  "request",
  "resource",
  "time",
] as const;

/** Names are words of this program, never numbers, whose order an object would not keep. */
function sorted(details: Readonly<Record<string, string | number>>): Record<string, string | number> {
  return Object.fromEntries(Object.entries(details).sort(([a], [b]) => (a < b ? -1 : 1)));
}
