import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { HelpAsked, readConfig, type Config } from "../src/config.ts";
import { assertListenable } from "../src/listening.ts";
import { facadeNames } from "../src/facades/facade-names.ts";
import { clientSettings, serverSettings, type Setting } from "../src/settings.ts";
import { StartRefused } from "../src/start-refused.ts";
import { makeCertificate, tlsSettings } from "./certificates.ts";
import { ROOT_KEY, temporaryFolder } from "./harness.ts";

/** Stands in every secret that is tried here, and may stand in no message. */
const CANARY = "canary7f3a";

const server = {
  KEYSTEAD_ROOT_KEY: ROOT_KEY,
  KEYSTEAD_DATA_PATH: ":memory:",
  KEYSTEAD_AUDIT_LOG: "/var/log/audit.log",
};
const dev = { KEYSTEAD_DEV: "1" };
const onDatabase = {
  KEYSTEAD_ROOT_KEY: ROOT_KEY,
  KEYSTEAD_DATABASE_URL: `postgres://keystead:${CANARY}@db.example.com/keystead`,
  KEYSTEAD_AUDIT_LOG: "/var/log/audit.log",
};

interface Given {
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** The text of .env in the working directory. */
  readonly file?: string;
  readonly cwd?: string;
}

function read({ args = [], env = {}, file, cwd = temporaryFolder() }: Given): Config {
  if (file !== undefined) writeFileSync(join(cwd, ".env"), file);
  return readConfig(args, env, cwd);
}

/** The one line with which a start is refused. */
function refusal(given: Given): string {
  try {
    read(given);
  } catch (error) {
    assert.ok(error instanceof StartRefused, String(error));
    assert.doesNotMatch(error.message, /\n/);
    assert.doesNotMatch(error.message, new RegExp(CANARY));
    return error.message;
  }
  return assert.fail("the start was not refused");
}

describe("settings", () => {
  test("from the environment win over the file, and flags over both", () => {
    const file = "KEYSTEAD_DEV=1\nKEYSTEAD_NODE=from-file\n";
    const env = { KEYSTEAD_NODE: "from-env" };
    const args = ["--node", "from-flag"];
    assert.equal(read({ file }).node, "from-file");
    assert.equal(read({ file, env }).node, "from-env");
    assert.equal(read({ file, env, args }).node, "from-flag");
    assert.equal(read({ file, args }).node, "from-flag");
    assert.equal(read({ env: dev }).node, "main");
  });

  test("that are empty in file or environment count as not set", () => {
    assert.equal(
      read({ file: "KEYSTEAD_NODE=from-file", env: { ...dev, KEYSTEAD_NODE: "" } }).node,
      "from-file",
    );
    assert.equal(read({ file: "KEYSTEAD_NODE=", env: dev }).node, "main");
  });

  test("come from the file that --config names, or else KEYSTEAD_CONFIG, or else .env", () => {
    const cwd = temporaryFolder();
    for (const name of ["one", "two"])
      writeFileSync(join(cwd, `${name}.env`), `KEYSTEAD_DEV=1\nKEYSTEAD_NODE=${name}\n`);
    const file = "KEYSTEAD_NODE=three";
    const env = { KEYSTEAD_CONFIG: join(cwd, "two.env") };
    assert.equal(read({ cwd, file, env: dev }).node, "three");
    assert.equal(read({ cwd, env }).node, "two");
    assert.equal(read({ cwd, env, args: ["--config", "one.env"] }).node, "one");
  });

  test("that are relative paths start at the working directory", () => {
    const cwd = temporaryFolder();
    const env = { ...server, KEYSTEAD_DATA_PATH: "data", KEYSTEAD_AUDIT_LOG: "logs/audit.log" };
    const config = read({ cwd, env });
    assert.equal(config.dataPath, join(cwd, "data"));
    assert.equal(config.auditLog, join(cwd, "logs", "audit.log"));
  });

  test("make a frozen Config", () => {
    assert.ok(Object.isFrozen(read({ env: dev })));
  });

  test("have these defaults in server mode", () => {
    const config = read({ env: server });
    assert.deepEqual(
      { ...config, rootKey: undefined },
      {
        devMode: false,
        devAnyAddress: false,
        addr: { host: "", port: 8080 },
        internalAddr: undefined,
        exportOnMain: false,
        tls: undefined,
        tlsByProxy: false,
        trustedProxies: undefined,
        rootKey: undefined,
        rootKeyIsWeak: false,
        dataPath: undefined,
        database: undefined,
        auditLog: "/var/log/audit.log",
        auditDurability: "written",
        jwtSecret: undefined,
        jwtProject: "default",
        ratePerSecond: 20_000,
        providerFiles: [],
        provider: "software",
        barrierMaxAgeMs: 365 * 86_400_000,
        issuer: undefined,
        loginTtlSeconds: 900,
        dekRotationDays: 90,
        goKms: { defaultRole: "client", masterAdmin: undefined },
        node: "main",
        facades: [],
        plainLog: false,
      },
    );
    assert.equal(config.rootKey?.toString(), "0123456789abcdef0123456789abcdef");
  });

  test("need nothing in dev mode, by setting or by flag", () => {
    for (const config of [read({ env: dev }), read({ args: ["--dev"] })]) {
      assert.equal(config.devMode, true);
      assert.equal(config.rootKey, undefined);
      assert.equal(config.auditLog, undefined);
      assert.equal(config.ratePerSecond, undefined);
      assert.equal(config.exportOnMain, true);
      assert.equal(config.plainLog, true);
      assert.deepEqual(config.facades, facadeNames);
    }
  });

  test("name the facades that are served, in either mode", () => {
    assert.deepEqual(read({ env: { ...server, KEYSTEAD_FACADES: "auto-kms" } }).facades, ["auto-kms"]);
    assert.deepEqual(read({ env: { ...dev, KEYSTEAD_FACADES: "none" } }).facades, []);
    assert.deepEqual(read({ env: dev, args: ["--facades", "auto-kms"] }).facades, ["auto-kms"]);
  });

  test("take Auto KMS's flags for the address", () => {
    const addr = (...args: string[]): unknown => read({ env: dev, args }).addr;
    const all = addr("--host", "127.0.0.1", "--port", "8000", "--no-reload");
    assert.deepEqual(all, { host: "127.0.0.1", port: 8000 });
    assert.deepEqual(addr("--port", "8000"), { host: "", port: 8000 });
    assert.deepEqual(addr("--host", "::1"), { host: "::1", port: 8080 });
    const twice = { env: dev, args: ["--addr", ":1", "--port", "2"] };
    assert.match(refusal(twice), /^--addr says what --host and --port say/);
  });

  test("put the audit log into the data path unless it is set", () => {
    const env = { KEYSTEAD_ROOT_KEY: ROOT_KEY, KEYSTEAD_DATA_PATH: "/data" };
    assert.equal(read({ env }).auditLog, "/data/audit.log");
  });

  for (const [text, host, port] of [
    [":9000", "", 9000],
    ["127.0.0.1:9000", "127.0.0.1", 9000],
    ["[::1]:9000", "::1", 9000],
    ["kms.example.org:0", "kms.example.org", 0],
    [":65535", "", 65535],
  ] as const) {
    test(`take the address ${text}`, () => {
      assert.deepEqual(read({ env: { ...server, KEYSTEAD_ADDR: text } }).addr, { host, port });
    });
  }
});

describe("other names of settings", () => {
  test("BunKMS's names are accepted, in environment and file, and ours win", () => {
    const bunkms = {
      BUNKMS_ADDR: ":9001",
      BUNKMS_MASTER_KEY: "a".repeat(64),
      BUNKMS_DATA_PATH: "/bunkms",
      BUNKMS_AUDIT_LOG: "/bunkms.log",
      BUNKMS_JWT_SECRET: "s".repeat(32),
    };
    const file = Object.entries(bunkms)
      .map(([name, value]) => `${name}=${value}\n`)
      .join("");
    for (const config of [read({ env: bunkms }), read({ file })]) {
      assert.equal(config.addr.port, 9001);
      assert.equal(config.rootKey?.toString("hex"), "a".repeat(64));
      assert.equal(config.dataPath, "/bunkms");
      assert.equal(config.auditLog, "/bunkms.log");
      assert.equal(config.jwtSecret?.toString(), "s".repeat(32));
    }
    assert.equal(read({ env: { ...bunkms, KEYSTEAD_ADDR: ":9002" } }).addr.port, 9002);
  });

  test("every alias of the table reads as its setting", () => {
    for (const { name, aliases = [] } of serverSettings as readonly Setting[]) {
      for (const alias of aliases) {
        const { [name]: value = "127.0.0.1:9003", ...rest }: Record<string, string> = {
          ...server,
          KEYSTEAD_JWT_SECRET: "s".repeat(32),
        };
        assert.deepEqual(
          read({ env: { ...rest, [alias]: value } }),
          read({ env: { ...rest, [name]: value } }),
        );
      }
    }
  });

  test("BunKMS's flags with one dash are accepted", () => {
    assert.equal(read({ env: server, args: ["-addr", ":9004"] }).addr.port, 9004);
    assert.equal(read({ env: server, args: ["-addr=:9004"] }).addr.port, 9004);
  });
});

describe("secrets from files", () => {
  test("are read without their last line end, and only that", () => {
    const cwd = temporaryFolder();
    for (const [text, secret] of [
      ["s".repeat(32), "s".repeat(32)],
      [`${"s".repeat(32)}\n`, "s".repeat(32)],
      [`${"s".repeat(32)}\r\n`, "s".repeat(32)],
      [` ${"s".repeat(32)} \n\n`, ` ${"s".repeat(32)} \n`],
    ] as const) {
      writeFileSync(join(cwd, "secret"), text);
      const env = { ...server, KEYSTEAD_JWT_SECRET_FILE: "secret" };
      assert.equal(read({ cwd, env }).jwtSecret?.toString(), secret);
    }
  });

  test("serve every setting that may be one", () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "root"), `${"b".repeat(64)}\n`);
    const env = { ...server, KEYSTEAD_ROOT_KEY: "", KEYSTEAD_ROOT_KEY_FILE: "root" };
    const config = read({ cwd, env });
    assert.equal(config.rootKey?.toString("hex"), "b".repeat(64));
  });

  test("are refused beside the setting itself", () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "secret"), CANARY.repeat(4));
    const env = { ...server, KEYSTEAD_JWT_SECRET: CANARY.repeat(4), KEYSTEAD_JWT_SECRET_FILE: "secret" };
    assert.match(refusal({ cwd, env }), /^KEYSTEAD_JWT_SECRET is set twice/);
  });

  test("in the environment win over the secret in the settings file", () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "secret"), "e".repeat(32));
    const file = `KEYSTEAD_JWT_SECRET=${"f".repeat(32)}`;
    const config = read({ cwd, file, env: { ...server, KEYSTEAD_JWT_SECRET_FILE: "secret" } });
    assert.equal(config.jwtSecret?.toString(), "e".repeat(32));
  });

  test("that cannot be read are named", () => {
    const env = { ...server, KEYSTEAD_JWT_SECRET_FILE: "not-there" };
    assert.match(refusal({ env }), /^KEYSTEAD_JWT_SECRET_FILE names a file that cannot be read$/);
  });
});

describe("the URL of a database", () => {
  const address = (url: string): unknown =>
    read({ env: { ...onDatabase, KEYSTEAD_DATABASE_URL: url } }).database?.address;

  test("gives where it is, with its name and password decoded", () => {
    assert.deepEqual(address("postgresql://us%40er:p%3Aw@db.example.com:6543/key%20stead"), {
      host: "db.example.com",
      port: 6543,
      user: "us@er",
      password: "p:w",
      database: "key stead",
      tls: "verified",
    });
    assert.deepEqual(address("postgres://u@%2Frun%2Fpostgresql/k"), {
      host: "/run/postgresql",
      port: 5432,
      user: "u",
      password: "",
      database: "k",
      tls: "none",
    });
  });

  test("asks for a verified certificate wherever the database is not on this machine", () => {
    for (const [host, tls] of [
      ["db", "verified"],
      ["10.0.0.1", "verified"],
      ["[fd00::1]", "verified"],
      ["localhost", "none"],
      ["127.0.0.1", "none"],
      ["[::1]", "none"],
    ] as const)
      assert.equal((address(`postgres://u@${host}/k`) as { tls: string }).tls, tls, host);
    for (const [mode, tls] of [
      ["disable", "none"],
      ["require", "unverified"],
      ["verify-full", "verified"],
    ] as const)
      assert.equal((address(`postgres://u@db/k?sslmode=${mode}`) as { tls: string }).tls, tls, mode);
  });

  test("may come from a file, and takes a pool and a CA beside it", () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "url"), `${onDatabase.KEYSTEAD_DATABASE_URL}\n`);
    const { database } = read({
      cwd,
      env: {
        ...onDatabase,
        KEYSTEAD_DATABASE_URL: "",
        KEYSTEAD_DATABASE_URL_FILE: "url",
        KEYSTEAD_DATABASE_CA: "ca.pem",
        KEYSTEAD_DATABASE_POOL: "20",
      },
    });
    assert.equal(database?.caFile, join(cwd, "ca.pem"));
    assert.equal(database.connectionsMax, 20);
  });

  test("has no flag, since flags are for everybody to see", () => {
    assert.throws(() => read({ args: ["--database-url", onDatabase.KEYSTEAD_DATABASE_URL] }), StartRefused);
  });
});

describe("a wrong setting stops the start with one line that names it", () => {
  const wrong: Record<string, readonly NodeJS.ProcessEnv[]> = {
    KEYSTEAD_ADDR: [
      ...["8080", "host", ":99999", ":-1", ":", "1.2.3.4:80:80", "http://localhost:80", "[::1", "a b:80"].map(
        (value) => ({ ...server, KEYSTEAD_ADDR: value }),
      ),
      ...["0.0.0.0:80", "10.0.0.1:80", "[::]:80", "kms.example.org:80"].map((value) => ({
        ...dev,
        KEYSTEAD_ADDR: value,
      })),
    ],
    KEYSTEAD_INTERNAL_ADDR: [
      { ...server, KEYSTEAD_INTERNAL_ADDR: "8081" },
      { ...dev, KEYSTEAD_INTERNAL_ADDR: "10.0.0.1:8081" },
    ],
    KEYSTEAD_TLS_CERT: [{ ...server, KEYSTEAD_TLS_KEY: "/tls.key" }],
    KEYSTEAD_TLS_KEY: [{ ...server, KEYSTEAD_TLS_CERT: "/tls.pem" }],
    KEYSTEAD_TLS_BY_PROXY: [{ ...server, KEYSTEAD_TLS_BY_PROXY: "yes" }],
    KEYSTEAD_TRUSTED_PROXIES: ["10.0.0.1,", "10.0.0.1/8", "proxy.example.org", "::/129"].map((value) => ({
      ...server,
      KEYSTEAD_TRUSTED_PROXIES: value,
    })),
    KEYSTEAD_EXPORT_ON_MAIN: [{ ...server, KEYSTEAD_EXPORT_ON_MAIN: "yes" }],
    KEYSTEAD_ROOT_KEY: [
      { ...server, KEYSTEAD_ROOT_KEY: "" },
      { ...server, KEYSTEAD_ROOT_KEY: CANARY },
      { ...server, KEYSTEAD_ROOT_KEY: `base64:${CANARY}` },
      { ...server, KEYSTEAD_ROOT_KEY: CANARY.padEnd(64, "z") },
      { ...dev, KEYSTEAD_ROOT_KEY: CANARY },
      { ...dev, KEYSTEAD_DATA_PATH: "/data" },
    ],
    KEYSTEAD_DATA_PATH: [{ ...server, KEYSTEAD_DATA_PATH: "" }],
    KEYSTEAD_DATABASE_URL: [
      { ...server, KEYSTEAD_DATABASE_URL: `postgres://keystead:${CANARY}@db/keystead` },
      ...[
        CANARY,
        `mysql://keystead:${CANARY}@db/keystead`,
        `postgres://keystead:${CANARY}@db`,
        `postgres://keystead:${CANARY}@db/a/b`,
        `postgres://:${CANARY}@db/keystead`,
        `postgres://keystead:${CANARY}@db:99999/keystead`,
        `postgres://keystead:${CANARY}%ZZ@db/keystead`,
        `postgres://keystead:${CANARY}@db/keystead?sslmode=prefer`,
        `postgres://keystead:${CANARY}@db/keystead?sslmode=verify-ca`,
        `postgres://keystead:${CANARY}@db/keystead?sslmode=require&sslmode=disable`,
        `postgres://keystead:${CANARY}@db/keystead?password=${CANARY}`,
        `postgres://keystead:${CANARY}@%2Frun%2Fpostgresql/keystead?sslmode=require`,
      ].map((url) => ({ ...onDatabase, KEYSTEAD_DATABASE_URL: url })),
    ],
    KEYSTEAD_DATABASE_CA: [
      { ...server, KEYSTEAD_DATABASE_CA: "/ca.pem" },
      {
        ...onDatabase,
        KEYSTEAD_DATABASE_URL: "postgres://keystead@db/keystead?sslmode=require",
        KEYSTEAD_DATABASE_CA: "/ca.pem",
      },
    ],
    KEYSTEAD_DATABASE_POOL: [
      { ...server, KEYSTEAD_DATABASE_POOL: "5" },
      ...["1", "201", "many", "-5", "1e2"].map((size) => ({ ...onDatabase, KEYSTEAD_DATABASE_POOL: size })),
    ],
    KEYSTEAD_AUDIT_LOG: [
      { ...server, KEYSTEAD_AUDIT_LOG: "" },
      { ...onDatabase, KEYSTEAD_AUDIT_LOG: "" },
    ],
    KEYSTEAD_AUDIT_DURABILITY: [{ ...server, KEYSTEAD_AUDIT_DURABILITY: "fsync" }],
    KEYSTEAD_JWT_SECRET: [{ ...server, KEYSTEAD_JWT_SECRET: CANARY.padEnd(31, "s") }],
    KEYSTEAD_JWT_PROJECT: ["Upper", "a b", ".a", "x".repeat(65)].map((value) => ({
      ...server,
      KEYSTEAD_JWT_PROJECT: value,
    })),
    KEYSTEAD_RATE_LIMIT: ["0", "-1", "1.5", "1e3", "many", "100000000", "Infinity"].map((value) => ({
      ...server,
      KEYSTEAD_RATE_LIMIT: value,
    })),
    KEYSTEAD_PROVIDERS: [",", "a.mjs,", "a.mjs,,b.mjs"].map((value) => ({
      ...server,
      KEYSTEAD_PROVIDERS: value,
    })),
    KEYSTEAD_PROVIDER: ["Software", "a b", "-a", "x".repeat(33)].map((value) => ({
      ...server,
      KEYSTEAD_PROVIDER: value,
    })),
    KEYSTEAD_ISSUER: ["a b", "ü", "x".repeat(201)].map((value) => ({ ...server, KEYSTEAD_ISSUER: value })),
    KEYSTEAD_DEK_ROTATION_DAYS: ["0", "-1", "1.5", "3651", "never"].map((value) => ({
      ...server,
      KEYSTEAD_DEK_ROTATION_DAYS: value,
    })),
    KEYSTEAD_LOGIN_TTL: ["0", "59", "36000", "15m", "-60"].map((value) => ({
      ...server,
      KEYSTEAD_LOGIN_TTL: value,
    })),
    KEYSTEAD_BARRIER_MAX_AGE: ["0", "-1", "1.5", "10000", "never", "30d"].map((value) => ({
      ...server,
      KEYSTEAD_BARRIER_MAX_AGE: value,
    })),
    KEYSTEAD_NODE: ["Main", "a_b", "-a", "x".repeat(64)].map((value) => ({
      ...server,
      KEYSTEAD_NODE: value,
    })),
    KEYSTEAD_FACADES: ["bunkms", "auto-kms,nothing", "auto-kms,auto-kms", ",", "none,auto-kms"].map(
      (value) => ({
        ...server,
        KEYSTEAD_FACADES: value,
      }),
    ),
    KEYSTEAD_LOG_FORMAT: [{ ...server, KEYSTEAD_LOG_FORMAT: "xml" }],
    KEYSTEAD_DEV: [{ KEYSTEAD_DEV: "true" }],
    KEYSTEAD_DEV_ANY_ADDRESS: [{ ...dev, KEYSTEAD_DEV_ANY_ADDRESS: "2" }],
    KEYSTEAD_CONFIG: [{ ...server, KEYSTEAD_CONFIG: "not-there.env" }],
  };

  for (const { name } of serverSettings) {
    test(name, () => {
      const cases = wrong[name] ?? [];
      assert.ok(cases.length > 0, "no wrong value is tried for this setting");
      for (const env of cases) {
        const line = refusal({ env });
        assert.ok(line.startsWith(`${name} `), `${JSON.stringify(env)}: ${line}`);
        assert.doesNotMatch(line, new RegExp(`${ROOT_KEY}|${CANARY}`));
      }
    });
  }

  test("an address that others reach, in server mode without TLS", () => {
    const line = (env: NodeJS.ProcessEnv): string => {
      try {
        assertListenable(read({ env: { ...server, ...env } }));
      } catch (error) {
        assert.ok(error instanceof StartRefused);
        assert.doesNotMatch(error.message, /\n/);
        return error.message;
      }
      return "";
    };
    for (const address of [
      ":80",
      "0.0.0.0:80",
      "[::]:80",
      "10.0.0.1:80",
      "[fd00::1]:80",
      "kms.example.org:80",
    ]) {
      assert.match(
        line({ KEYSTEAD_ADDR: address }),
        /^KEYSTEAD_ADDR .* there is no TLS: set KEYSTEAD_TLS_CERT/,
      );
      const internal = { KEYSTEAD_ADDR: "127.0.0.1:80", KEYSTEAD_INTERNAL_ADDR: address };
      assert.match(line(internal), /^KEYSTEAD_INTERNAL_ADDR .* there is no TLS/);
      assert.equal(line({ KEYSTEAD_ADDR: address, KEYSTEAD_TLS_BY_PROXY: "1" }), "");
    }
    assert.match(line({}), /^KEYSTEAD_ADDR listens on every address \(:8080\)/);
    for (const address of ["127.0.0.1:80", "[::1]:80", "localhost:80", "127.1.2.3:80"])
      assert.equal(line({ KEYSTEAD_ADDR: address, KEYSTEAD_INTERNAL_ADDR: address }), "");
  });

  test("TLS files that cannot be read, are none, do not fit together, or need a passphrase", () => {
    const [one, two] = [makeCertificate("ecdsa", 1), makeCertificate("rsa", 2)];
    const same = makeCertificate("ecdsa", 3);
    const folder = temporaryFolder();
    const [encrypted, nonsense] = [join(folder, "encrypted"), join(folder, "nonsense")];
    execFileSync("openssl", [
      ...["pkey", "-in", one.keyFile, "-aes256", "-passout", "pass:x", "-out", encrypted],
    ]);
    writeFileSync(nonsense, CANARY);
    const check = (certFile: string, keyFile: string): void => {
      assertListenable(read({ env: { ...server, ...tlsSettings({ certFile, keyFile }) } }));
    };
    check(one.certFile, one.keyFile);
    check(two.certFile, two.keyFile);
    for (const [certFile, keyFile, wanted] of [
      [join(folder, "absent"), one.keyFile, /^KEYSTEAD_TLS_CERT names a file that cannot be read$/],
      [one.certFile, join(folder, "absent"), /^KEYSTEAD_TLS_KEY names a file that cannot be read$/],
      [folder, one.keyFile, /^KEYSTEAD_TLS_CERT names a file that cannot be read$/],
      [nonsense, one.keyFile, /^KEYSTEAD_TLS_CERT names a file that holds no certificate/],
      [one.keyFile, one.keyFile, /^KEYSTEAD_TLS_CERT names a file that holds no certificate/],
      [one.certFile, nonsense, /^KEYSTEAD_TLS_KEY names a file that holds no private key/],
      [one.certFile, one.certFile, /^KEYSTEAD_TLS_KEY names a file that holds no private key/],
      [one.certFile, encrypted, /^KEYSTEAD_TLS_KEY names a key that is encrypted/],
      [one.certFile, two.keyFile, /^KEYSTEAD_TLS_KEY is not the key of the certificate/],
      [one.certFile, same.keyFile, /^KEYSTEAD_TLS_KEY is not the key of the certificate/],
    ] as const) {
      assert.throws(
        () => {
          check(certFile, keyFile);
        },
        (error: Error) => {
          assert.ok(error instanceof StartRefused);
          assert.match(error.message, wanted);
          assert.doesNotMatch(error.message, new RegExp(`\n|${CANARY}`));
          return true;
        },
      );
    }
  });

  test("also where it stands in the file or in a flag", () => {
    assert.match(refusal({ env: server, file: "KEYSTEAD_NODE=Main" }), /^KEYSTEAD_NODE /);
    assert.match(refusal({ env: server, args: ["--node", "Main"] }), /^KEYSTEAD_NODE /);
    const env = { KEYSTEAD_DATA_PATH: ":memory:" };
    assert.match(refusal({ env, file: `KEYSTEAD_ROOT_KEY=${CANARY}` }), /^KEYSTEAD_ROOT_KEY /);
  });

  test("dev mode takes other addresses where that is set, and weak JWT secrets", () => {
    const any = { ...dev, KEYSTEAD_DEV_ANY_ADDRESS: "1", KEYSTEAD_ADDR: "0.0.0.0:80" };
    assert.equal(read({ env: any }).addr.host, "0.0.0.0");
    assert.equal(read({ env: { ...dev, KEYSTEAD_JWT_SECRET: "short" } }).jwtSecret?.length, 5);
  });
});

describe("unknown settings", () => {
  test("in the environment or the file are refused by their name, without their value", () => {
    assert.match(
      refusal({ env: { ...server, KEYSTEAD_DATAPATH: CANARY } }),
      /^KEYSTEAD_DATAPATH in the environment is no setting/,
    );
    assert.match(
      refusal({ env: server, file: `KEYSTEAD_NODES=${CANARY}` }),
      /^KEYSTEAD_NODES in .*\.env is no setting/,
    );
    assert.match(refusal({ env: { ...server, KEYSTEAD_NODE_FILE: CANARY } }), /^KEYSTEAD_NODE_FILE /);
    assert.match(refusal({ env: { ...server, KEYSTEAD_: CANARY } }), /^KEYSTEAD_ /);
  });

  test("that Kubernetes makes for a Service named keystead are no error", () => {
    const kubernetes = {
      KEYSTEAD_SERVICE_HOST: "10.0.0.1",
      KEYSTEAD_SERVICE_PORT: "8080",
      KEYSTEAD_SERVICE_PORT_HTTP: "8080",
      KEYSTEAD_PORT: "tcp://10.0.0.1:8080",
      KEYSTEAD_PORT_8080_TCP: "tcp://10.0.0.1:8080",
      KEYSTEAD_PORT_8080_TCP_PROTO: "tcp",
      KEYSTEAD_PORT_8080_TCP_PORT: "8080",
      KEYSTEAD_PORT_8080_TCP_ADDR: "10.0.0.1",
      KEYSTEAD_INTERNAL_SERVICE_HOST: "10.0.0.2",
      KEYSTEAD_INTERNAL_PORT_8081_TCP: "tcp://10.0.0.2:8081",
    };
    assert.deepEqual(read({ env: { ...server, ...kubernetes } }), read({ env: server }));
  });

  test("of the command line's client are no error", () => {
    const client = Object.fromEntries(clientSettings.map(({ name, example }) => [name, example]));
    assert.deepEqual(read({ env: { ...server, ...client } }), read({ env: server }));
  });

  test("of other programs are no error", () => {
    assert.deepEqual(
      read({ env: { ...server, PATH: "/bin", OTHER_KEYSTEAD_X: "1" } }),
      read({ env: server }),
    );
  });
});

describe("flags", () => {
  test("exist for every setting of the table that has one", () => {
    for (const { flag, isSwitch } of serverSettings as readonly Setting[]) {
      if (flag === undefined || flag === "config") continue;
      const args = isSwitch === true ? [`--${flag}`] : [`--${flag}`, "\u0000"];
      // A switch is taken; any other reaches its setting, which refuses the value under its name.
      try {
        read({ env: server, args });
      } catch (error) {
        assert.ok(error instanceof StartRefused);
        assert.doesNotMatch(error.message, /unknown or incomplete flag/, flag);
      }
    }
  });

  for (const args of [
    ["--unknown"],
    ["--node"],
    ["positional"],
    ["--dev=yes"],
    [`--root-key=${CANARY}`],
    ["--root-key", CANARY],
    [`--jwt-secret=${CANARY}`],
    ["-x"],
  ]) {
    test(`${args.join(" ").replace(CANARY, "…")} is refused without an echo`, () => {
      assert.match(
        refusal({ env: server, args }),
        /^unknown or incomplete flag; the flags are .*--data-path/,
      );
    });
  }

  test("--help and -h ask for help, whatever else is wrong", () => {
    for (const flag of ["--help", "-h"]) {
      assert.throws(() => read({ args: [flag], env: { KEYSTEAD_NONSENSE: "1" } }), HelpAsked);
    }
  });
});
