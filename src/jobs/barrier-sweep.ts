/**
 * One walk through every sealed value: those that an older barrier key sealed are sealed anew.
 * Invariant: a value goes only after its successor was opened and compared, and only if nobody changed it meanwhile (its
 * old bytes are a condition of the write). A row's revision stays, so that no change meets a conflict because of this.
 */
import { Buffer } from "node:buffer";
import { equalConstantTime, wipe } from "../bytes.ts";
import { sealedVersion, type Barrier, type RecordPlace } from "../seal/barrier.ts";
import { sealedBytesOf } from "../seal/keyed-store.ts";
import type { Schema, TableName } from "../storage/schema.ts";
import { StoreConflict, type Store, type Write } from "../storage/store.ts";
import { sealedTables, type Owner, type Row, type SealedTable } from "./sealed-tables.ts";

/** Rows that are read at a time: secrets may be large. */
const PAGE_ROWS = 64;
/** Values that are written at a time: to a store of one's own they become one transaction. */
const WRITES_EXCLUSIVE = 128;
const WRITES_SHARED = 4;

export interface SweepOptions {
  readonly store: Store;
  readonly barrier: Barrier;
  /** Only counts; changes nothing. */
  readonly counting: boolean;
  /** Values of a version below this are old. */
  readonly target: number;
  readonly tables?: readonly SealedTable[];
}

export class BarrierSweep {
  readonly target: number;
  readonly counting: boolean;
  /** Old values that were met, by the version that sealed them. */
  readonly found = new Map<number, number>();
  /** Of those, the ones that are old still: changed meanwhile, or they do not open. */
  readonly left = new Map<number, number>();
  /** Values that do not open, by table: altered outside the service. */
  readonly unopened = new Map<string, number>();
  /** Values that were sealed anew, by the version that had sealed them. */
  readonly rewrapped = new Map<number, number>();
  readonly #options: SweepOptions;
  readonly #tables: readonly SealedTable[];
  #table = 0;
  #after: string | Uint8Array | undefined;

  constructor(options: SweepOptions) {
    this.#options = options;
    this.target = options.target;
    this.counting = options.counting;
    this.#tables = options.tables ?? sealedTables;
  }

  get done(): boolean {
    return this.#table >= this.#tables.length;
  }

  /** Does the next page of rows. */
  async step(): Promise<void> {
    const table = this.#tables[this.#table];
    if (table === undefined) return;
    const rows = await this.#readPage(table);
    const owners = new Map<unknown, Promise<Owner | undefined>>();
    const work: (() => Promise<void>)[] = [];
    for (const row of rows) {
      for (const [column, placeOf] of Object.entries(table.places)) {
        const version = sealedVersion(sealedBytesOf(row[column]) ?? Buffer.alloc(0));
        if (version === undefined || version >= this.target) continue;
        add(this.found, version);
        if (this.counting) continue;
        work.push(async () => {
          const key = row[table.orderBy];
          const owner = owners.get(key) ?? table.owner?.(row, this.#options.store);
          if (owner !== undefined) owners.set(key, owner);
          const opened = await owner;
          // What it belonged to was deleted meanwhile, and this row with it.
          if (table.owner !== undefined && opened === undefined) return;
          const place = placeOf(row, opened ?? { projectId: "" });
          add((await this.#rewrap(table, row, column, place)) ? this.rewrapped : this.left, version);
        });
      }
    }
    const atOnce = this.#options.store.exclusive ? WRITES_EXCLUSIVE : WRITES_SHARED;
    for (let i = 0; i < work.length; i += atOnce)
      await Promise.all(work.slice(i, i + atOnce).map((one) => one()));
  }

  /** False where the value is still old. */
  async #rewrap(table: SealedTable, row: Row, column: string, place: RecordPlace): Promise<boolean> {
    const before = row[column];
    const sealed = this.#sealAnew(place, sealedBytesOf(before) ?? Buffer.alloc(0));
    if (sealed === undefined) {
      add(this.unopened, table.table);
      return false;
    }
    const after = typeof before === "string" ? Buffer.from(sealed).toString("base64") : sealed;
    const where = Object.fromEntries([...table.primaryKey, column].map((name) => [name, row[name]]));
    const write = { update: table.table, where, set: { [column]: after } } as unknown as Write;
    try {
      await this.#options.store.commit([write]);
    } catch (error) {
      if (error instanceof StoreConflict) return false;
      throw error;
    }
    return true;
  }

  /** The value under the newest key; undefined where it does not open. */
  #sealAnew(place: RecordPlace, sealed: Uint8Array): Uint8Array | undefined {
    const { barrier } = this.#options;
    let plaintext: Buffer;
    try {
      plaintext = barrier.open(place, sealed);
    } catch {
      return undefined;
    }
    const again = barrier.seal(place, plaintext);
    const check = barrier.open(place, again);
    const holds = equalConstantTime(check, plaintext);
    wipe(plaintext, check);
    if (!holds) throw new Error("a value sealed anew does not open as it was");
    return again;
  }

  /** The next rows in order; whole groups of those that share the column they are ordered by. */
  async #readPage(table: SealedTable): Promise<readonly Row[]> {
    const { orderBy } = table;
    const rows = await this.#select(table.table, {
      orderBy,
      limit: PAGE_ROWS,
      ...(this.#after === undefined ? {} : { after: this.#after }),
    });
    if (rows.length < PAGE_ROWS) {
      this.#table++;
      this.#after = undefined;
      return rows;
    }
    const valueOf = (row: Row | undefined): string | Uint8Array => row?.[orderBy] as string | Uint8Array;
    const last = valueOf(rows.at(-1));
    if (table.primaryKey.length === 1) {
      this.#after = last;
      return rows;
    }
    const whole = rows.filter((row) => row[orderBy] !== last);
    const lastWhole = whole.at(-1);
    this.#after = lastWhole === undefined ? last : valueOf(lastWhole);
    return lastWhole === undefined ? this.#select(table.table, { where: { [orderBy]: last } }) : whole;
  }

  async #select(from: TableName, query: object): Promise<readonly Row[]> {
    const rows: Schema[TableName][] = await this.#options.store.select({ from, ...query });
    return rows;
  }
}

function add(counts: Map<string, number>, name: string): void;
function add(counts: Map<number, number>, name: number): void;
function add<K>(counts: Map<K, number>, name: K): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}
