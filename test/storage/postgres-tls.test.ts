/** The way to the database through TLS, with certificates of an authority of the test's own. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { StartRefused } from "../../src/start-refused.ts";
import { until } from "../audit/test-auditor.ts";
import { makeAuthority, type CertificateFiles } from "../certificates.ts";
import { onPostgres, startServer, type TestService } from "../harness.ts";
import { newDatabaseOn, query, startPostgres, type TestPostgres } from "../postgres.ts";

const authority = makeAuthority();
const good = authority.issue("IP:127.0.0.1");
const otherHost = authority.issue("DNS:db.example.test");
const expired = authority.issue("IP:127.0.0.1", { expired: true });
let postgres: TestPostgres;
let url = "";

before(async () => {
  postgres = await startPostgres({ tls: good });
  url = await newDatabaseOn(postgres);
});
after(() => {
  postgres.stop();
});

async function start(mode: string, caFile?: string, host = "127.0.0.1"): Promise<TestService> {
  const address = new URL(url);
  address.hostname = host;
  address.searchParams.set("sslmode", mode);
  return startServer({
    ...(await onPostgres()),
    KEYSTEAD_DATABASE_URL: address.href,
    ...(caFile === undefined ? {} : { KEYSTEAD_DATABASE_CA: caFile }),
  });
}

async function serves(starting: Promise<TestService>): Promise<string> {
  await using service = await starting;
  const [connection] = await query(
    url,
    `select bool_and(s.ssl) as encrypted from pg_stat_ssl s join pg_stat_activity a using (pid)
     where a.application_name like 'keystead%'`,
  );
  assert.equal(connection?.["encrypted"], true);
  return service.logLines.join("");
}

async function refused(starting: Promise<TestService>, code: RegExp): Promise<void> {
  const error = await starting.then(
    async (service) => {
      await service.close();
      return assert.fail("it was not refused");
    },
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof StartRefused, String(error));
  assert.match(error.message, /^KEYSTEAD_DATABASE_URL: the database does not answer \([A-Za-z_ ]+\)$/);
  assert.match(error.message, code);
}

/** The server shows another certificate from its next connection on. */
async function show(certificate: CertificateFiles): Promise<void> {
  // Written into the files that are there, which are the database's own.
  writeFileSync(join(postgres.data, "server.crt"), readFileSync(certificate.certFile));
  writeFileSync(join(postgres.data, "server.key"), readFileSync(certificate.keyFile));
  const [loaded] = await query(url, "select pg_conf_load_time()::text as at");
  await query(url, "select pg_reload_conf()");
  await until(
    async () => (await query(url, "select pg_conf_load_time()::text as at"))[0]?.["at"] !== loaded?.["at"],
  );
}

describe("a database through TLS", () => {
  test("serves where its certificate is good for the host and signed by the authority of the settings", async () => {
    assert.doesNotMatch(await serves(start("verify-full", authority.caFile)), /"warn"/);
  });

  test("is refused at the start where another authority signed it, or the platform's have to", async () => {
    await refused(start("verify-full", makeAuthority().caFile), /./);
    await refused(start("verify-full"), /./);
  });

  test("is taken without a check by sslmode=require, with a warning where it is another machine", async () => {
    assert.doesNotMatch(await serves(start("require")), /certificate is not checked/);
    // Another spelling of an address that is this machine's, which is not taken for one.
    assert.match(await serves(start("require", undefined, "127.1")), /certificate is not checked/);
  });

  test("is refused at the start where its certificate is for another host, or has run out", async () => {
    await show(otherHost);
    await refused(start("verify-full", authority.caFile), /ERR_TLS_CERT_ALTNAME_INVALID/);
    await show(expired);
    await refused(start("verify-full", authority.caFile), /CERT_HAS_EXPIRED/);
    await show(good);
    await serves(start("verify-full", authority.caFile));
  });
});
