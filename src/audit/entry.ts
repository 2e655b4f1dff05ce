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
