import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { facades } from "../../../src/facades/catalogue.ts";
import { rowKey } from "../../../src/http/facade/facade.ts";
import { earlierField } from "../../../src/http/route-example.ts";
import { startDev } from "../../harness.ts";

/** What earlier answers said: ids by the kind of thing they belong to, other fields by their names. */
class EarlierAnswers {
  readonly #ids = new Map<string, string[]>();
  readonly #fields = new Map<string, unknown>();

  read(path: string, answer: unknown): void {
    for (const item of Array.isArray(answer) ? answer : [answer]) {
      for (const [name, value] of Object.entries((item ?? {}) as Record<string, unknown>)) {
        this.#fields.set(name, value);
        if (name !== "id") continue;
        const ids = this.#idsOf(path);
        if (!ids.includes(String(value))) ids.push(String(value));
      }
    }
  }

  /** A value with the places for earlier answers filled. */
  fill(path: string, value: unknown): unknown {
    if (Array.isArray(value)) return value.map((item) => this.fill(path, item));
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(
        Object.entries(value).map(([name, inner]) => [name, this.fill(path, inner)] as const),
      );
    const field = earlierField(value);
    if (field === undefined) return value;
    const found = field === "id" ? this.#idsOf(path).at(-1) : this.#fields.get(field);
    assert.ok(found !== undefined, `no earlier answer has ${field}`);
    return found;
  }

  /** The newest one is gone. */
  forgetId(path: string): void {
    this.#idsOf(path).pop();
  }

  #idsOf(path: string): string[] {
    const kind = path.split("/").slice(0, 3).join("/");
    const ids = this.#ids.get(kind) ?? [];
    this.#ids.set(kind, ids);
    return ids;
  }
}

for (const facade of Object.values(facades)) {
  const { examples } = facade;
  if (examples === undefined) continue;

  describe(`the examples of ${facade.name}`, () => {
    test("stand for every row that takes a path's name or a body, and for no other", () => {
      const taking = facade.routes.filter(({ params, body }) => params !== undefined || body !== undefined);
      assert.deepEqual(Object.keys(examples).sort(), taking.map(rowKey).sort());
    });

    test("work one after the other in a fresh dev mode", async () => {
      await using service = await startDev();
      const earlier = new EarlierAnswers();
      for (const [key, { params = {}, body, otherBodies = {}, needs }] of Object.entries(examples)) {
        const row = facade.routes.find((one) => rowKey(one) === key);
        if (row === undefined || needs?.includes(" ") === true) continue;
        for (const example of [body, ...Object.values(otherBodies)]) {
          const filled = earlier.fill(row.path, params) as Record<string, string>;
          const path = row.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => filled[name] ?? "");
          const answer = await service.request(row.method, path, earlier.fill(row.path, example));
          assert.equal(answer.status, row.status, `${key}: ${answer.text}`);
          if (row.method === "DELETE") earlier.forgetId(row.path);
          else if (answer.text !== "") earlier.read(row.path, JSON.parse(answer.text));
        }
      }
    });
  });
}
