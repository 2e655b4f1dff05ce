/**
 * Rows of the outbox: the entry of a committed change, sealed for its row.
 * `entry` is the base64 of the barrier's sealed value over the entry's JSON; it is bound to the row's id and to its
 * `after_sequence`, and holds the node's name, which is held against the row's.
 * Invariant: what somebody else wrote into the table, edited or moved in it, is told apart and never becomes an entry.
 */
import { Buffer } from "node:buffer";
import { decodeBase64 } from "../bytes.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import type { Schema } from "../storage/schema.ts";
import type { AuditEntry } from "./entry.ts";

type OutboxRow = Schema["outbox"];

/** The row of an entry whose line will stand after the node's `afterSequence`. */
export function sealOutboxRow(barrier: Barrier, entry: AuditEntry, afterSequence: number): OutboxRow {
  const sealed = barrier.sealJson(outboxPlace(entry.id, afterSequence), entry);
  return {
    id: entry.id,
    node: entry.node,
    after_sequence: afterSequence,
    entry: Buffer.from(sealed).toString("base64"),
  };
}

/** The row's entry, or undefined where this service did not write the row as it is. */
export function openOutboxRow(barrier: Barrier, row: OutboxRow): AuditEntry | undefined {
  const sealed = decodeBase64(row.entry);
  if (sealed === undefined) return undefined;
  try {
    const entry = barrier.openJson<AuditEntry>(outboxPlace(row.id, row.after_sequence), sealed);
    return entry.node === row.node ? entry : undefined;
  } catch {
    return undefined;
  }
}

/** Where a waiting entry belongs. */
export function outboxPlace(id: string, afterSequence: number): RecordPlace {
  return { project: "", kind: "outbox", id, revision: afterSequence, field: "entry" };
}
