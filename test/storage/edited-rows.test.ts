/**
 * Every column of every table with sealed rows, edited by somebody who can write to the database: an answer is then the
 * one of before, or a refusal. The store does not matter here, so that SQLite stands for both.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { sealedTables, type SealedTable } from "../../src/jobs/sealed-tables.ts";
import type { TableName } from "../../src/storage/schema.ts";
import { startServer } from "../harness.ts";
import { keptDatabase, type KeptDatabase } from "./kept-database.ts";
import {
  allTables,
  someOfAllTables,
  type AllTables,
  type Found,
  type Question,
} from "./some-of-all-tables.ts";

type Row = Record<string, SQLInputValue>;

/** What is done to the rows of one table. */
interface Edit {
  readonly table: SealedTable;
  readonly columns: readonly string[];
}

/** Its rows are gone once they stand in the log; test/audit/outbox.test.ts edits them. */
const elsewhere = ["outbox"];
/** What nothing is decided by; and what a sealed value is bound to, which is edited together with the value. */
const idle = ["created_at", "revision", "usage_revision", "uses", "version", "id"];
const tables = sealedTables.filter(({ table }) => !elsewhere.includes(table));
/** What a start reads, and may refuse to come up over. */
const readAtStart = ["projects", "accounts"];
const hashIds = ["key_aliases", "idempotency"];

describe("an edited row", () => {
  let fresh: KeptDatabase;
  let changed: KeptDatabase;
  let all: AllTables;
  const answers = new Map<Question, Found>();
  const answersChanged = new Map<Question, Found>();

  before(async () => {
    fresh = await keptDatabase("SQLite");
    const { settings, options } = allTables;
    const service = await startServer({ ...settings, ...fresh.settings }, options);
    all = await someOfAllTables(service);
    await service.close();
    changed = await fresh.copy();
    {
      await using later = await startServer({ ...settings, ...changed.settings }, options);
      await all.change(later);
    }
    await found(await fresh.copy(), all.questions, answers);
    await found(await changed.copy(), all.questions, answersChanged);
  });

  test("is looked for in each table, by a question that has an answer to lose", () => {
    for (const { table } of tables) {
      const about = all.questions.filter((question) => question.about.includes(table));
      assert.ok(
        about.some((question) => answers.get(question)!.status < 300),
        `a question about ${table}`,
      );
    }
  });

  test("is refused where a sealed value is another row's of the same revision", async () => {
    const edits = tables.flatMap((table) =>
      Object.keys(table.places).map((column) => ({
        table,
        columns: [column, column === "usage_sealed" ? "usage_revision" : "revision"],
      })),
    );
    for (const group of apart(edits)) {
      const copy = await fresh.copy();
      for (const edit of group) assert.ok(rotate(copy, edit), `two rows in ${edit.table.table}`);
      await holds(copy, group, answers, "all rows");
    }
  });

  test("shows nobody what is another's where any plain column is another row's", async () => {
    const edits: Edit[] = [];
    for (const table of tables) {
      const [row] = await fresh.sql(`select * from ${table.table}`);
      const plain = Object.keys(row ?? {}).filter((name) => !(name in table.places));
      for (const column of plain) {
        if (idle.includes(column) && !(column === "id" && hashIds.includes(table.table))) continue;
        edits.push({ table, columns: [column] });
      }
    }
    for (const group of apart(edits)) {
      const copy = await fresh.copy();
      for (const edit of group) rotate(copy, edit);
      await holds(copy, group, answers, "plain");
    }
  });

  test("is refused where a record of before stands under the revision of now", async () => {
    const edits: Edit[] = [];
    for (const table of tables) {
      const columns = Object.keys(table.places);
      if (await putBack(fresh, await changed.copy(), { table, columns })) edits.push({ table, columns });
    }
    assert.deepEqual(
      edits.map(({ table }) => table.table),
      ["projects", "keys", "secrets", "accounts", "passwords", "roles", "issuers", "jwt_revocations"],
    );
    for (const group of apart(edits)) {
      const copy = await changed.copy();
      for (const edit of group) await putBack(fresh, copy, edit);
      await holds(copy, group, answersChanged, "some rows");
    }
  });

  /** As few groups as there have to be so that for each table of a group something is asked that depends on it alone. */
  function apart(edits: readonly Edit[]): Edit[][] {
    const groups: Edit[][] = [];
    for (const edit of edits) {
      const group = groups.find((one) => {
        const names = [...one, edit].map(({ table }) => table.table);
        return (
          !names.some((name) => readAtStart.includes(name)) &&
          new Set(names).size === names.length &&
          names.every((name) => questionsOf(name, names).length > 0)
        );
      });
      if (group === undefined) groups.push([edit]);
      else group.push(edit);
    }
    return groups;
  }

  /** What depends on a table, and on no other of these. */
  function questionsOf(table: TableName, edited: readonly TableName[]): Question[] {
    return all.questions.filter(
      ({ about }) => about.includes(table) && !about.some((name) => name !== table && edited.includes(name)),
    );
  }

  /** Asks all there is about what was edited. */
  async function holds(
    copy: KeptDatabase,
    group: readonly Edit[],
    wanted: ReadonlyMap<Question, Found>,
    edited: "plain" | "some rows" | "all rows",
  ): Promise<void> {
    const names = group.map(({ table }) => table.table);
    const asked = all.questions.filter(({ about }) => about.some((name) => names.includes(name)));
    const now = new Map<Question, Found>();
    // A start that is refused fails closed as well.
    if (!(await found(copy, asked, now))) {
      assert.equal(group.length, 1);
      return;
    }
    for (const [question, is] of now)
      if (is.status < 300) assert.deepEqual(is, wanted.get(question), question.what);
    if (edited === "plain") return;
    for (const name of names) {
      const own = questionsOf(name, names);
      const refused = own.filter((question) => now.get(question)!.status === 500);
      assert.ok(refused.length > 0, `nobody looked at ${name}`);
      if (edited === "some rows") continue;
      for (const question of own.filter((one) => wanted.get(one)!.status < 300))
        assert.ok(refused.includes(question), `${name}: ${question.what}`);
    }
  }
});

/** Asks a service on a database; false where none starts there. */
async function found(
  database: KeptDatabase,
  questions: readonly Question[],
  answers: Map<Question, Found>,
): Promise<boolean> {
  const { settings, options } = allTables;
  const service = await startServer({ ...settings, ...database.settings }, options).catch(() => undefined);
  if (service === undefined) return false;
  await using running = service;
  // What changes something comes last.
  for (const once of [false, true])
    for (const question of questions)
      if ((question.once ?? false) === once) answers.set(question, await question.ask(running));
  return true;
}

/** Gives each row what the next one has in some columns; false where that changes nothing. */
function rotate({ settings }: KeptDatabase, { table, columns }: Edit): boolean {
  return rewrite(settings, table, (rows) =>
    rows.map((row, at) => {
      const next = rows[(at + 1) % rows.length]!;
      return { ...row, ...Object.fromEntries(columns.filter((c) => c in row).map((c) => [c, next[c]!])) };
    }),
  );
}

/** Puts the sealed values of an older copy into the rows of now; false where none is older. */
async function putBack(from: KeptDatabase, to: KeptDatabase, { table, columns }: Edit): Promise<boolean> {
  const keyOf = (row: Row): string => JSON.stringify(table.primaryKey.map((column) => row[column]));
  const rows = (await from.sql(`select * from ${table.table}`)) as Row[];
  const old = new Map(rows.map((row) => [keyOf(row), row]));
  return rewrite(to.settings, table, (rowsNow) =>
    rowsNow.map((row) => {
      const before = old.get(keyOf(row));
      if (before === undefined || before["revision"] === row["revision"]) return row;
      return { ...row, ...Object.fromEntries(columns.map((column) => [column, before[column]!])) };
    }),
  );
}

/** Takes all rows out and puts in what becomes of them, in one transaction. */
function rewrite(
  settings: Record<string, string>,
  { table }: SealedTable,
  edit: (rows: Row[]) => Row[],
): boolean {
  const file = join(settings["KEYSTEAD_DATA_PATH"] ?? "", "keystead.db");
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: false });
  try {
    const rows = database.prepare(`select * from ${table} order by rowid`).all() as Row[];
    const edited = edit(rows);
    if (JSON.stringify(rows) === JSON.stringify(edited)) return false;
    database.exec(`begin; delete from ${table}`);
    const columns = Object.keys(rows[0]!);
    const insert = database.prepare(
      `insert into ${table} (${columns.join(", ")}) values (${columns.map(() => "?").join(", ")})`,
    );
    for (const row of edited) insert.run(...columns.map((column) => row[column]!));
    database.exec("commit");
    return true;
  } finally {
    database.close();
  }
}
