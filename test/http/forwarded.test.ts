import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { TrustedProxies } from "../../src/http/forwarded.ts";
import { addressText, isInBlock, limitedName, parseAddress, parseBlock } from "../../src/http/ip-address.ts";
import { startServer } from "../harness.ts";

const ipv4 = fc.ipV4();
const ipv6 = fc.ipV6();
const address = fc.oneof(ipv4, ipv6);

function textOf(text: string): string {
  return addressText(parseAddress(text) ?? assert.fail(text));
}

describe("IP addresses", () => {
  test("are taken in every valid form, and have one text", () => {
    fc.assert(
      fc.property(address, (text) => {
        const once = textOf(text);
        assert.equal(textOf(once), once);
        assert.ok(isIPv4(once) || isIPv6(once), once);
        assert.equal(once, textOf(text.toUpperCase()));
        // The platform's own idea of the one text, but for mapped addresses, which are IPv4 here.
        if (once.includes(":")) assert.equal(new URL(`http://[${once}]/`).hostname, `[${once}]`);
      }),
    );
  });

  test("of IPv4 are the same in their mapped form", () => {
    fc.assert(
      fc.property(ipv4, (text) => {
        assert.equal(textOf(`::ffff:${text}`), text);
      }),
    );
  });

  test("are refused wherever the platform refuses them", () => {
    const characters = fc.constantFrom(...Array.from("0123456789abcdefFg:.:.%/ []x"));
    fc.assert(
      fc.property(fc.string({ unit: characters, maxLength: 20 }), (text) => {
        const valid = isIPv4(text) || (isIPv6(text) && !text.includes("%"));
        assert.equal(parseAddress(text) !== undefined, valid, text);
      }),
      { numRuns: 2000 },
    );
    for (const text of [
      "",
      " 1.2.3.4",
      "1.2.3.4:80",
      "[::1]",
      "1.2.3",
      "01.2.3.4",
      "256.1.1.1",
      "1::2::3",
      "unknown",
    ]) {
      assert.equal(parseAddress(text), undefined, text);
    }
  });

  test("are in a block exactly where its leading bits are theirs", () => {
    const bitsOf = (groups: readonly number[]): string =>
      groups.map((group) => group.toString(2).padStart(16, "0")).join("");
    fc.assert(
      fc.property(address, address, fc.nat(128), (text, other, bits) => {
        const [one, two] = [parseAddress(text) ?? [], parseAddress(other) ?? []];
        const same = bitsOf(one).slice(0, bits) === bitsOf(two).slice(0, bits);
        assert.equal(isInBlock(two, { groups: one, bits }), same);
      }),
    );
  });

  test("of IPv6 are limited by their /64, others by themselves", () => {
    assert.equal(limitedName("203.0.113.9"), "203.0.113.9");
    assert.equal(limitedName("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    assert.equal(limitedName("2001:db8:1:2::ffff"), limitedName("2001:db8:1:2:aaaa::"));
    assert.notEqual(limitedName("2001:db8:1:2::1"), limitedName("2001:db8:1:3::1"));
    assert.equal(limitedName("fe80::1%eth0"), "fe80::/64");
    assert.equal(limitedName("unknown"), "unknown");
  });
});

describe("a list of proxies", () => {
  test("takes addresses and blocks of both kinds, and nothing else", () => {
    for (const text of [
      "10.0.0.1",
      "10.0.0.0/8",
      "::1",
      "fd00::/8",
      "10.0.0.1, fd00:1::/64 ,::1",
      "0.0.0.0/0",
    ]) {
      assert.ok(TrustedProxies.parse(text) !== undefined, text);
    }
    for (const text of [
      ...["", ",", "10.0.0.1,", "10.0.0.1 10.0.0.2", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "10.0.0.1/8"],
      ...["::/129", "fd00::1/8", "10.0.0.0/8/8", "proxy.example.org", "10.0.0.0/-1", "loopback"],
    ]) {
      assert.equal(TrustedProxies.parse(text), undefined, text);
    }
    assert.equal(parseBlock("10.0.0.0/8")?.bits, 104);
  });

  const proxies = TrustedProxies.parse("10.0.0.0/8,fd00::/8") ?? assert.fail();
  const listed = fc.oneof(
    fc.tuple(fc.nat(255), fc.nat(255), fc.nat(255)).map((rest) => `10.${rest.join(".")}`),
    fc.tuple(fc.nat(0xffff), fc.nat(0xffff)).map(([a, b]) => `fd00::${a.toString(16)}:${b.toString(16)}`),
  );
  const isListed = (text: string): boolean => /^10\./.test(textOf(text)) || /^fd..:/.test(textOf(text));
  const stranger = address.filter((text) => !isListed(text));
  const clientOf = (peer: string, header: string | undefined): string | undefined =>
    proxies.clientOf(peer, () => header);

  test("is the only source of forwarded addresses: of other peers the header is not even read", () => {
    fc.assert(
      fc.property(stranger, (peer) => {
        assert.equal(
          proxies.clientOf(peer, () => assert.fail("the header was read")),
          undefined,
        );
      }),
    );
  });

  test("leads to the rightmost address that is not in it, whatever the client wrote before", () => {
    const text = fc.string({ maxLength: 30 });
    fc.assert(
      fc.property(listed, text, stranger, fc.array(listed, { maxLength: 4 }), (peer, said, client, hops) => {
        assert.equal(clientOf(peer, [said, client, ...hops].join(",")), textOf(client));
        assert.equal(clientOf(peer, [said, ` ${client}\t`, ...hops].join(" , ")), textOf(client));
      }),
    );
  });

  test("leaves the peer's address where the header is missing, malformed, or names proxies only", () => {
    fc.assert(
      fc.property(listed, fc.array(listed, { maxLength: 4 }), stranger, (peer, hops, client) => {
        assert.equal(clientOf(peer, undefined), undefined);
        assert.equal(clientOf(peer, hops.join(", ")), undefined);
        for (const wrong of [
          "",
          "unknown",
          `${client}x`,
          `"${client}"`,
          `[${client}]`,
          `${client}/32`,
          `${client} ${client}`,
        ]) {
          assert.equal(clientOf(peer, [client, wrong, ...hops].join(",")), undefined, wrong);
        }
      }),
    );
    const many = Array.from({ length: 100 }, () => "10.0.0.1").join(",");
    assert.equal(clientOf("10.0.0.1", `192.0.2.1,${many}`), undefined);
  });
});

describe("a service behind a listed proxy", () => {
  const behind = { KEYSTEAD_TRUSTED_PROXIES: "127.0.0.1,10.0.0.0/8" };

  test("records the client's address and the proxy's, in entries of callers, changes and strangers", async () => {
    await using service = await startServer(behind);
    const token = await service.token("admin");
    const headers = { "x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.1.1.1" };
    await service.request("POST", "/v1/keys", { name: "k" }, { token, headers });
    await service.request("GET", "/v1/keys/k", undefined, { token, headers });
    await service.request("GET", "/v1/keys/absent", undefined, { token, headers });
    await service.request("GET", "/v1/keys/k", undefined, { headers });
    const entries = service.auditEntries().filter(({ action }) => String(action).startsWith("key."));
    assert.equal(entries.length, 4);
    for (const entry of entries) {
      assert.equal(entry["address"], "203.0.113.7");
      assert.equal((entry["details"] as Record<string, unknown>)["proxy"], "127.0.0.1");
    }
  });

  test("records the peer's address alone where the header does not serve", async () => {
    await using service = await startServer(behind);
    const token = await service.token("reader");
    for (const value of ["nonsense", "203.0.113.7:80", "203.0.113.7, unknown", "10.0.0.1"]) {
      await service.request("GET", "/v1/keys", undefined, { token, headers: { "x-forwarded-for": value } });
    }
    const entries = service.auditEntries().filter(({ action }) => action === "key.list");
    assert.equal(entries.length, 4);
    for (const entry of entries) {
      assert.equal(entry["address"], "127.0.0.1");
      assert.equal(entry["details"], undefined);
    }
  });

  test("limits by the client's address, of IPv6 by its /64", async () => {
    await using service = await startServer({ ...behind, KEYSTEAD_RATE_LIMIT: "1" });
    // Each caller may ask once a second, an address four times.
    const tokens = await Promise.all(Array.from({ length: 8 }, () => service.token("reader")));
    const ask = async (token: string, client: string): Promise<number> => {
      const headers = { "x-forwarded-for": client };
      return (await service.request("GET", "/v1/keys", undefined, { token, headers })).status;
    };
    const one = await Promise.all(tokens.map((token, i) => ask(token, `2001:db8:0:1::${i.toString(16)}`)));
    assert.ok(one.filter((status) => status === 429).length >= 3, String(one));
    assert.notEqual(
      (
        await service.request("GET", "/v1/keys", undefined, {
          headers: { "x-forwarded-for": "2001:db8:0:2::1" },
        })
      ).status,
      429,
    );
  });
});

describe("a service without listed proxies", () => {
  test("takes no notice of forwarded headers", async () => {
    await using service = await startServer();
    const token = await service.token("reader");
    const headers = {
      "x-forwarded-for": "203.0.113.7",
      forwarded: "for=203.0.113.7",
      "x-real-ip": "203.0.113.7",
    };
    await service.request("GET", "/v1/keys", undefined, { token, headers });
    const [entry] = service.auditEntries().filter(({ action }) => action === "key.list");
    assert.equal(entry?.["address"], "127.0.0.1");
    assert.equal(entry["details"], undefined);
  });
});
