// Does what deploy/Dockerfile says without a container engine, in bare Debian roots, and tries what comes out: as the
// image's user, with a read-only root file system, with nothing but what the image holds. Needs root and debootstrap.
//   node deploy/prove-image.mjs [folder for the roots]
// Invariant: the steps are read from the Dockerfile itself; a step that this program does not know fails the run.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const repository = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const work = process.argv[2] ?? mkdtempSync(join(tmpdir(), "keystead-image-"));
const run = (command, args, options = {}) =>
  execFileSync(command, args, { stdio: ["ignore", "inherit", "inherit"], ...options });

const debian = join(work, "debian-root");
if (!existsSync(join(debian, "bin/sh"))) run("debootstrap", ["--variant=minbase", "bookworm", debian]);
const stages = parse(readFileSync(join(repository, "deploy/Dockerfile"), "utf8"));
for (const stage of stages.values()) build(stage);

// Container engines let their programs listen on low ports; here it is for the time of the try alone.
const LOW_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
const lowPorts = readFileSync(LOW_PORTS, "utf8");
process.on("exit", () => writeFileSync(LOW_PORTS, lowPorts));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
writeFileSync(LOW_PORTS, "0");
for (const [name, port, environment] of [
  ["dev", 80, {}],
  ["server", 8080, { KEYSTEAD_ROOT_KEY: "ab".repeat(32), KEYSTEAD_TLS_BY_PROXY: "1" }],
]) {
  await prove(stages.get(name), port, environment);
}
console.log("both images do what the Dockerfile says");

/** The Dockerfile's instructions by stage. */
function parse(text) {
  const found = new Map();
  let stage;
  for (const line of text.split("\n")) {
    const [word, ...rest] = line.trim().split(" ");
    const value = rest.join(" ");
    if (word === "" || word.startsWith("#")) continue;
    if (word === "FROM") {
      const [from, , name] = rest;
      stage = { from, name, steps: [], env: {}, user: "0:0", cwd: "/", root: join(work, name) };
      found.set(name, stage);
    } else {
      stage.steps.push([word, value]);
    }
  }
  return found;
}

function build(stage) {
  rmSync(stage.root, { recursive: true, force: true });
  const parent = stages.get(stage.from);
  if (parent !== undefined) {
    Object.assign(stage, { env: { ...parent.env }, user: parent.user, cwd: parent.cwd });
  } else if (!/^(node:20|debian:bookworm)/.test(stage.from)) {
    throw new Error(`no such base here: ${stage.from}`);
  }
  run("cp", ["-a", parent?.root ?? debian, stage.root]);
  if (stage.from.startsWith("node:")) addNode(stage.root);
  for (const [word, value] of stage.steps) step(stage, word, value);
}

/** The Node and npm that run this, in the place where the official image has them. */
function addNode(root) {
  const prefix = resolve(dirname(process.execPath), "..");
  cpSync(process.execPath, join(root, "usr/local/bin/node"));
  cpSync(join(prefix, "lib/node_modules/npm"), join(root, "usr/local/lib/node_modules/npm"), {
    recursive: true,
  });
  run("ln", ["-sf", "../lib/node_modules/npm/bin/npm-cli.js", join(root, "usr/local/bin/npm")]);
  cpSync("/etc/resolv.conf", join(root, "etc/resolv.conf"), { dereference: true });
  if (existsSync("/etc/ssl/certs"))
    cpSync("/etc/ssl/certs", join(root, "etc/ssl/certs"), { recursive: true, dereference: true });
}

function step(stage, word, value) {
  console.log(`[${stage.name}] ${word} ${value}`);
  if (word === "WORKDIR") {
    stage.cwd = value;
    mkdirSync(join(stage.root, value), { recursive: true });
  } else if (word === "ENV") {
    for (const pair of value.split(" "))
      stage.env[pair.slice(0, pair.indexOf("="))] = pair.slice(pair.indexOf("=") + 1);
  } else if (word === "USER") {
    stage.user = value;
  } else if (word === "COPY") {
    copy(stage, value.split(" "));
  } else if (word === "RUN") {
    const registry = execFileSync("npm", ["config", "get", "registry"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    run("chroot", [stage.root, "/bin/sh", "-c", `cd ${stage.cwd} && ${value}`], {
      env: {
        PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        HOME: "/root",
        ...stage.env,
        npm_config_registry: registry.trim(),
        NODE_EXTRA_CA_CERTS: "/etc/ssl/certs/ca-certificates.crt",
      },
    });
  } else if (word === "CMD" || word === "ENTRYPOINT") {
    stage[word.toLowerCase()] = JSON.parse(value);
  } else if (word === "HEALTHCHECK") {
    stage.health = JSON.parse(value.slice(value.indexOf("CMD ") + 4));
  } else if (!["EXPOSE", "VOLUME", "STOPSIGNAL"].includes(word)) {
    throw new Error(`unknown instruction: ${word}`);
  }
}

function copy(stage, words) {
  const from = words[0].startsWith("--from=") ? stages.get(words.shift().slice(7)) : undefined;
  const to = words.pop();
  const target = resolve("/", stage.cwd, to);
  for (const source of words) {
    if (from !== undefined) {
      run("cp", ["-a", join(from.root, source), join(stage.root, target)]);
      continue;
    }
    const isFile = !run("git", ["-C", repository, "ls-tree", "HEAD", source], { stdio: "pipe" })
      .toString()
      .includes(" tree ");
    const place = join(stage.root, target, isFile ? source.split("/").at(-1) : "");
    mkdirSync(isFile ? dirname(place) : place, { recursive: true });
    const archive = execFileSync(
      "git",
      ["-C", repository, "archive", isFile ? "HEAD" : `HEAD:${source}`, ...(isFile ? [source] : [])],
      { maxBuffer: 1 << 28 },
    );
    if (isFile) {
      writeFileSync(place, execFileSync("tar", ["-xO"], { input: archive, maxBuffer: 1 << 28 }));
    } else {
      execFileSync("tar", ["-x", "-C", place], { input: archive });
    }
  }
}

/** Runs a program of the image: its user, its environment, its root read-only but for data and /tmp. */
function start(stage, args, environment, stdio) {
  const [uid] = stage.user.split(":");
  const data = join(stage.root, "var/lib/keystead");
  const script = [
    `mount --bind ${stage.root} ${stage.root}`,
    `mount --bind ${data} ${data}`,
    `mount -o remount,ro,bind ${stage.root}`,
    `mount -t tmpfs tmpfs ${stage.root}/tmp`,
    `mount -t proc proc ${stage.root}/proc`,
    `mount -t devtmpfs dev ${stage.root}/dev 2>/dev/null || mount --rbind /dev ${stage.root}/dev`,
    `exec /usr/sbin/chroot --userspec=${stage.user} ${stage.root} /bin/sh -c 'touch /app/x 2>/dev/null && exit 99; cd ${stage.cwd} && exec "$@"' sh "$@"`,
  ].join(" && ");
  return spawn("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", ...args], {
    stdio,
    // A group of its own, since unshare itself passes no signal on.
    detached: true,
    env: { ...stage.env, HOME: "/var/lib/keystead", USER: uid, ...environment },
  });
}

async function finished(child) {
  let text = "";
  child.stdout?.setEncoding("utf8").on("data", (part) => (text += part));
  const status = await new Promise((done) => child.on("close", done));
  return { status, text };
}

async function prove(stage, port, environment) {
  let token;
  if (stage.name === "server") {
    const init = await finished(
      start(stage, [...stage.entrypoint, "init"], environment, ["ignore", "pipe", "inherit"]),
    );
    if (init.status !== 0) throw new Error("init failed");
    token = init.text.trim();
  }
  const server = start(stage, [...stage.entrypoint, ...stage.cmd], environment, [
    "ignore",
    "ignore",
    "inherit",
  ]);
  try {
    const url = `http://127.0.0.1:${port}`;
    for (let tries = 0; ; tries++) {
      if (
        await fetch(`${url}/ready`).then(
          (answer) => answer.ok,
          () => false,
        )
      )
        break;
      if (tries > 200 || server.exitCode !== null) throw new Error(`the ${stage.name} image does not serve`);
      await new Promise((done) => setTimeout(done, 50));
    }
    const health = await finished(start(stage, stage.health, environment, ["ignore", "inherit", "inherit"]));
    if (health.status !== 0) throw new Error("the health check fails");
    const call = async (path, body) => {
      const answer = await fetch(url + path, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: JSON.stringify(body),
      });
      if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
      return answer.json();
    };
    await call("/v1/keys", { name: "image", type: "aes-256" });
    const { ciphertext } = await call("/v1/encrypt/image", { plaintext: "hello" });
    const { plaintext } = await call("/v1/decrypt/image", { ciphertext });
    if (plaintext !== "hello") throw new Error("it does not decrypt what it encrypted");
    const megabytes = execFileSync("du", ["-sm", stage.root], { encoding: "utf8" }).split("\t")[0];
    console.log(
      `[${stage.name}] serves on port ${port}, as user ${stage.user}, root read-only, ${megabytes} MB in all`,
    );
  } finally {
    process.kill(-server.pid, "SIGTERM");
    await new Promise((done) => (server.exitCode === null ? server.on("close", done) : done()));
  }
}
