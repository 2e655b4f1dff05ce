/**
 * One walk through every sealed value: those that an older barrier key sealed are sealed anew.
 * Invariant: a value goes only after its successor was opened and compared, and only if nobody changed it meanwhile (its
 * old bytes are a condition of the write). A row's revision stays, so that no change meets a conflict because of this.
 * The walk goes on behind a page only when that is done: one that failed is met again. No read gives more than PAGE_ROWS.
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

/** Where a walk is within a table. */
interface Cursor {
  /** The value of the table's `orderBy` that was done last. */
  readonly after?: Place;
  /** Rows that share one value fill more than a page: it, and the last of their second column that was done. */
  readonly group?: { readonly of: Place; readonly after?: number };
}
type Place = string | number | Uint8Array;

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
  #cursor: Cursor = {};

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
    const { rows, next } = await this.#readPage(table);
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
    if (next === undefined) this.#table++;
    this.#cursor = next ?? {};
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

  /** The next rows in order, and where it goes on behind them; undefined where the table ends. */
  async #readPage(table: SealedTable): Promise<{ rows: readonly Row[]; next: Cursor | undefined }> {
    const { after, group } = this.#cursor;
    const {
      orderBy,
      primaryKey: [, second],
    } = table;
    if (group !== undefined && second !== undefined) return this.#readGroup(table, group, second);
    const rows = await this.#select(table.table, {
      orderBy,
      limit: PAGE_ROWS,
      ...(after === undefined ? {} : { after }),
    });
    if (rows.length < PAGE_ROWS) return { rows, next: undefined };
    const last = rows.at(-1)?.[orderBy] as Place;
    if (second === undefined) return { rows, next: { after: last } };
    // The last ones may have more beside them: they are for the next page.
    const whole = rows.filter((row) => row[orderBy] !== last);
    const lastWhole = whole.at(-1)?.[orderBy] as Place | undefined;
    if (lastWhole === undefined) return this.#readGroup(table, { of: last }, second);
    return { rows: whole, next: { after: lastWhole } };
  }

  async #readGroup(
    table: SealedTable,
    { of, after }: NonNullable<Cursor["group"]>,
    second: string,
  ): Promise<{ rows: readonly Row[]; next: Cursor }> {
    const rows = await this.#select(table.table, {
      where: { [table.orderBy]: of },
      orderBy: second,
      limit: PAGE_ROWS,
      ...(after === undefined ? {} : { after }),
    });
    if (rows.length < PAGE_ROWS) return { rows, next: { after: of } };
    const { after: before } = this.#cursor;
    const next = { of, after: rows.at(-1)?.[second] as number };
    return { rows, next: { ...(before === undefined ? {} : { after: before }), group: next } };
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
