/**
 * The shell examples of README.md, CONTRIBUTING.md and docs/*.md, run as a reader would type them, so that none can rot.
 * A block tagged `sh` is run: document by document, from top to bottom, in one shell and one empty folder, with `keystead`
 * on the path and free ports in place of 8080 and 8081. A comment before a block says otherwise:
 * `<!-- not run: reason -->` leaves it out; `<!-- needs: jq -->` leaves it out where there is no `jq` on this machine;
 * `<!-- starts a server -->` runs its last line in the background, in place of the server before it. A `json` block right
 * after a block that ran shows its last answer: the same members, at any depth. A `text` block right after one with the
 * comment `<!-- prints what follows -->` shows the end of what it printed, letter by letter.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { temporaryFolder } from "../harness.ts";
import { freePort, LAUNCHER, REPOSITORY } from "../server-process.ts";

const DOCUMENT_MS_MAX = 120_000;
/** Blocks that no shell reads. Any other tag is refused, so that no command hides under it. */
const otherTags = ["sql", "js", "json", "text", "ini", "nginx", "yaml", "ts", "mermaid"];
const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(REPOSITORY, "docs"))
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `docs/${name}`),
];

interface Block {
  readonly tag: string;
  /** The line of the document where the block begins. */
  readonly line: number;
  readonly text: string;
  /** The HTML comment that stands before it; "" where there is none. */
  readonly comment: string;
  /** The `json` block that follows without a word between. */
  answer?: string;
  /** The `text` block that follows without a word between. */
  output?: string;
}

/** All fenced blocks of a document. */
function blocksOf(document: string): Block[] {
  const blocks: Block[] = [];
  let open: { tag: string; line: number; lines: string[]; comment: string } | undefined;
  let comment = "";
  let adjacent = false;
  for (const [i, line] of readFileSync(join(REPOSITORY, document), "utf8").split("\n").entries()) {
    const fence = /^ *```(\S*)\s*$/.exec(line);
    if (open !== undefined) {
      if (fence === null) {
        open.lines.push(line);
        continue;
      }
      const { tag, lines } = open;
      const before = blocks.at(-1);
      if (adjacent && before !== undefined) {
        if (tag === "json") before.answer = lines.join("\n");
        if (tag === "text") before.output = lines.join("\n");
      }
      blocks.push({ tag, line: open.line, text: lines.join("\n"), comment: open.comment });
      open = undefined;
      adjacent = true;
      comment = "";
    } else if (fence !== null) {
      open = { tag: fence[1] ?? "", line: i + 1, lines: [], comment };
    } else if (line.trim() !== "") {
      comment = /^<!-- (.*) -->$/.exec(line.trim())?.[1] ?? "";
      adjacent = false;
    }
  }
  assert.equal(open, undefined, `${document} ends inside a block`);
  return blocks;
}

const reasonOf = ({ comment }: Block): string | undefined => /^not run: (.{8,})$/.exec(comment)?.[1];
const isMissing = ({ comment }: Block): boolean => {
  const needed = /^needs: (\S+)$/.exec(comment)?.[1];
  return needed !== undefined && spawnSync("sh", ["-c", `command -v ${needed}`]).status !== 0;
};
const printsOutput = ({ comment }: Block): boolean => comment === "prints what follows";
const startsServer = ({ comment }: Block): boolean => comment === "starts a server";

const prelude = `set -eu
server=
stop_server() {
  [ -n "$server" ] || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" || true
  server=
}
trap stop_server EXIT
wait_for_server() {
  until curl -sf "$KEYSTEAD_URL/ready" >/dev/null; do
    kill -0 "$server" 2>/dev/null || { cat "$SERVER_LOG" >&2; exit 1; }
    sleep 0.05
  done
}
# As npm does, but so that the server is this shell's own child.
npm() {
  [ "$1" = start ] || { echo "the examples run no npm $1" >&2; return 1; }
  cd "$REPOSITORY"
  exec sh -c "$NPM_START"
}
`;

/** One shell script of all the blocks that run, each announced on standard output by its line. */
function scriptOf(blocks: readonly Block[]): string {
  const parts = blocks.map((block) => {
    const mark = `printf '\\036%s\\n' ${block.line}`;
    if (!startsServer(block)) return `${mark}\n${block.text}\n`;
    const lines = block.text.trimEnd().split("\n");
    const command = lines.pop() ?? "";
    return `${mark}\nstop_server\n${lines.join("\n")}\n${command} >"$SERVER_LOG" 2>&1 &\nserver=$!\nwait_for_server\n`;
  });
  return prelude + parts.join("\n");
}

/** What each block printed, by its line; throws with the block that failed. */
async function runBlocks(document: string, blocks: readonly Block[]): Promise<Map<number, string>> {
  const cwd = temporaryFolder();
  const [port, internalPort] = [await freePort(), await freePort()];
  const { scripts } = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8")) as {
    scripts: { start: string };
  };
  const script = scriptOf(blocks)
    .replaceAll(/:8080\b/g, `:${port}`)
    .replaceAll(/:8081\b/g, `:${internalPort}`);
  const child = spawn("sh", ["-c", script], {
    cwd,
    // A group of its own, so that nothing that the examples started is left behind.
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: `${dirname(LAUNCHER)}:${process.env["PATH"] ?? ""}`,
      HOME: cwd,
      REPOSITORY,
      NPM_START: scripts.start,
      SERVER_LOG: join(temporaryFolder(), "server.log"),
      BUNKMS_ADDR: `127.0.0.1:${port}`,
      KEYSTEAD_URL: `http://localhost:${port}`,
    },
  });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (output += String(text)));
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += String(text)));
  const timer = setTimeout(() => child.kill("SIGKILL"), DOCUMENT_MS_MAX);
  const [status] = (await once(child, "exit")) as [number | null];
  clearTimeout(timer);
  try {
    process.kill(-(child.pid ?? 0), "SIGKILL");
  } catch {
    // Nothing is left.
  }
  const printed = new Map<number, string>();
  for (const part of output.split("\u001e").slice(1)) {
    const end = part.indexOf("\n");
    printed.set(Number(part.slice(0, end)), part.slice(end + 1));
  }
  const last = [...printed.keys()].at(-1);
  assert.equal(status, 0, `${document}, the block at line ${String(last)}:\n${errors}`);
  return printed;
}

/** The names of all members, at any depth; a list is known by its first item. */
function membersOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(membersOf);
  if (value === null || typeof value !== "object") return "";
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, member]): [string, unknown] => [name, membersOf(member)])
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

function lastJson(text: string): unknown {
  return JSON.parse(text.slice(Math.max(text.lastIndexOf("\n{") + 1, 0)));
}

for (const document of documents) {
  describe(document, () => {
    const blocks = blocksOf(document);
    const runnable = blocks.filter(
      (block) => block.tag === "sh" && reasonOf(block) === undefined && !isMissing(block),
    );

    test("has no block that neither runs nor says why not", () => {
      for (const { tag, line } of blocks) {
        assert.ok(tag === "sh" || otherTags.includes(tag), `line ${line} is tagged "${tag}"`);
      }
    });

    if (runnable.length === 0) return;
    test("has shell examples that run from top to bottom, and answers with the members that come back", async () => {
      const printed = await runBlocks(document, runnable);
      assert.deepEqual(
        [...printed.keys()],
        runnable.map(({ line }) => line),
      );
      for (const block of runnable) {
        const { answer, line, output } = block;
        if (printsOutput(block)) {
          assert.ok(output !== undefined, `no text follows the block at line ${line}`);
          const end = (printed.get(line) ?? "").trimEnd().slice(-output.length);
          assert.equal(end, output, `the output of the block at line ${line}`);
        }
        if (answer === undefined) continue;
        const wanted = membersOf(JSON.parse(answer));
        assert.deepEqual(
          membersOf(lastJson(printed.get(line) ?? "")),
          wanted,
          `the answer after line ${line}`,
        );
      }
    });
  });
}
