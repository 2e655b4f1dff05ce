/** Every provider that there is, held to the contract: the built-in one, and the one of docs/provider.md. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Buffer } from "node:buffer";
import { secretBytes } from "../../src/bytes.ts";
import { algorithmOf, keyTypes, purposesOf } from "../../src/crypto/catalogue.ts";
import { guardedProvider } from "../../src/crypto/guarded-provider.ts";
import type { CryptoProvider, KeyKind, OpenedKey } from "../../src/crypto/provider.ts";
import { Providers } from "../../src/crypto/providers.ts";
import { softwareProvider } from "../../src/crypto/software-provider.ts";
import { openProviders } from "../../src/provider-modules.ts";
import { sealedFiles } from "../sealed-files.ts";
import { providerContract } from "./provider-contract.ts";

providerContract("the software provider", {
  open: () => Promise.resolve(softwareProvider),
  // A large RSA key shows nothing that the smallest does not, and takes long to make.
  wants: ({ type }) => type !== "rsa-3072" && type !== "rsa-4096",
});

const sample = sealedFiles();
providerContract("the provider of docs/provider.md, loaded as a start loads it", {
  open: async () => (await openProviders([sample.file], "sealed-files")).of("sealed-files"),
});

describe("the software provider", () => {
  test("has every type and purpose of the catalogue", () => {
    const all = keyTypes.flatMap((type) =>
      purposesOf(type).map((purpose) => ({ type, purpose, imports: true })),
    );
    assert.deepEqual(softwareProvider.capabilities, all);
  });

  test("opens, encrypts and decrypts without a promise", () => {
    for (const { type, purpose } of softwareProvider.capabilities) {
      if (algorithmOf(type, purpose).family !== "cipher") continue;
      const material = softwareProvider.generate({ type, purpose });
      assert.ok(!(material instanceof Promise));
      const opened = softwareProvider.open({ type, purpose }, material);
      assert.ok(!(opened instanceof Promise) && opened.family === "cipher");
      const made = opened.key.encrypt(Buffer.from("x"), undefined, 4);
      assert.ok(Buffer.isBuffer(made));
      assert.ok(Buffer.isBuffer(opened.key.decrypt(made.subarray(4), undefined)));
    }
  });
});

describe("the wall around a provider from outside", () => {
  const kind: KeyKind = { type: "aes-256", purpose: "encrypt" };
  const good = {
    name: "outside",
    capabilities: [{ ...kind, imports: false }],
    generate: () => ({ form: "handle", bytes: Uint8Array.of(1) }),
    import: () => ({ form: "handle", bytes: Uint8Array.of(1) }),
    open: (): unknown => ({
      family: "cipher",
      key: { nonceBytes: 12, encrypt: () => new Uint8Array(40), decrypt: () => undefined },
    }),
  };
  const material = { form: "handle", bytes: secretBytes(Buffer.of(1)) } as const;

  test("refuses what is no provider, and says what is wrong with it", () => {
    for (const [wrong, says] of [
      [undefined, /is an object/],
      [{ ...good, name: "Not This" }, /name/],
      [{ ...good, name: "x".repeat(33) }, /name/],
      [{ ...good, capabilities: [] }, /capabilities/],
      [{ ...good, capabilities: [{ type: "aes-255", purpose: "encrypt", imports: true }] }, /capability/],
      [{ ...good, capabilities: [{ type: "aes-256", purpose: "sign", imports: true }] }, /capability/],
      [{ ...good, capabilities: [kind] }, /capability/],
      [{ ...good, open: undefined }, /method open/],
      [{ ...good, destroy: "yes" }, /destroy/],
    ] as const)
      assert.throws(() => guardedProvider(wrong), says);
    assert.equal(guardedProvider(good).name, "outside");
    assert.ok(!("exportKey" in guardedProvider(good)));
  });

  test("takes methods from a class as well as from an object", async () => {
    class Outside {
      name = "outside";
      capabilities = good.capabilities;
      #made = 0;
      generate(): unknown {
        return { form: "handle", bytes: Uint8Array.of(++this.#made) };
      }
      import(): unknown {
        return this.generate();
      }
      open(): unknown {
        return good.open();
      }
    }
    const provider = guardedProvider(new Outside());
    assert.deepEqual([...(await provider.generate(kind)).bytes], [1]);
    assert.deepEqual([...(await provider.generate(kind)).bytes], [2]);
  });

  const unavailable = { code: "provider_unavailable" };
  const of = (changed: object): CryptoProvider => guardedProvider({ ...good, ...changed });
  const fails = (): never => {
    throw new Error("the device is gone");
  };

  test("answers provider_unavailable to whatever is thrown inside, and lets the service's own errors through", async () => {
    for (const broken of [of({ generate: fails }), of({ generate: () => Promise.reject(new Error("gone")) })])
      await assert.rejects(async () => broken.generate(kind), unavailable);
    await assert.rejects(async () => of({ open: fails }).open(kind, material), unavailable);
    const opened = await of({
      open: () => ({ family: "cipher", key: { nonceBytes: 12, encrypt: fails, decrypt: fails } }),
    }).open(kind, material);
    assert.ok(opened.family === "cipher");
    const { key } = opened;
    assert.throws(() => key.encrypt(Buffer.alloc(1), undefined, 0), unavailable);
    const refusing = of({
      import: () => softwareProvider.import(kind, { format: "raw", bytes: Buffer.alloc(1) }),
    });
    await assert.rejects(async () => refusing.import(kind, { format: "raw", bytes: Buffer.alloc(1) }), {
      code: "invalid_key_material",
    });
  });

  test("lets no material and no opened key through that is not of the promised shape", async () => {
    for (const made of [
      undefined,
      {},
      { form: "other", bytes: Uint8Array.of(1) },
      { form: "handle", bytes: "text" },
      { form: "handle", bytes: new Uint8Array(0) },
      { form: "handle", bytes: new Uint8Array(64 * 1024 + 1) },
    ])
      await assert.rejects(async () => of({ generate: () => made }).generate(kind), unavailable);
    for (const opened of [
      undefined,
      { family: "mac", key: {} },
      { family: "cipher", key: { nonceBytes: 12, encrypt: fails } },
      { family: "cipher", key: { nonceBytes: "12", encrypt: fails, decrypt: fails } },
    ])
      await assert.rejects(async () => of({ open: () => opened }).open(kind, material), unavailable);
  });

  test("lets no result through that is not of the promised shape, and no verdict but true and false", async () => {
    const opening = (family: string, key: object): CryptoProvider => {
      const { type, purpose } = softwareProvider.capabilities.find(
        (one) => algorithmOf(one.type, one.purpose).family === family,
      ) ?? { type: "aes-256", purpose: "encrypt" };
      return of({
        capabilities: [{ type, purpose, imports: false }],
        open: () => ({ family, key }),
        exportKey: () => ({ format: "raw", bytes: "text" }),
      });
    };
    const opened = async (provider: CryptoProvider): Promise<OpenedKey> =>
      provider.open(provider.capabilities[0] ?? kind, material);
    for (const made of [undefined, "text", {}, 1]) {
      const cipher = await opened(
        opening("cipher", { nonceBytes: 12, encrypt: () => made, decrypt: async () => made }),
      );
      assert.ok(cipher.family === "cipher");
      const { key } = cipher;
      await assert.rejects(async () => key.encrypt(Buffer.alloc(1), undefined, 0), unavailable);
      if (made === undefined) assert.equal(await key.decrypt(Buffer.alloc(1), undefined), undefined);
      else await assert.rejects(async () => key.decrypt(Buffer.alloc(1), undefined), unavailable);
      const mac = await opened(opening("mac", { macBytes: 32, mac: () => made, verify: () => made }));
      assert.ok(mac.family === "mac");
      await assert.rejects(async () => mac.key.mac(Buffer.alloc(1)), unavailable);
      await assert.rejects(async () => mac.key.verify(Buffer.alloc(1), Buffer.alloc(32)), unavailable);
    }
    await assert.rejects(async () => opening("cipher", {}).exportKey?.(kind, material, "raw"), unavailable);
  });

  test("gives Buffers whatever bytes came, and hands out copies only", async () => {
    const opened = await of({}).open(kind, material);
    assert.ok(opened.family === "cipher");
    assert.ok(Buffer.isBuffer(await opened.key.encrypt(Buffer.alloc(1), undefined, 0)));
    const wiping = of({
      open(_: KeyKind, given: { bytes: Uint8Array }) {
        given.bytes.fill(0);
        return good.open();
      },
    });
    await wiping.open(kind, material);
    assert.equal(material.bytes[0], 1);
  });
});

describe("the providers of a process", () => {
  test("have one name each, and the default is one of them", () => {
    const other = guardedProvider({ ...softwareProvider, name: "other" });
    assert.equal(new Providers([other], "other").forNew().name, "other");
    assert.equal(new Providers([other]).forNew().name, "software");
    assert.throws(() => new Providers([softwareProvider]), /same name/);
    assert.throws(() => new Providers([other], "third"), /default provider/);
    assert.throws(() => new Providers().of("other"), { code: "provider_unavailable" });
    assert.throws(() => new Providers().forNew("other"), { code: "invalid_body", field: "provider" });
  });
});
