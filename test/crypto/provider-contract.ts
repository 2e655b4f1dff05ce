/**
 * What every provider of keys keeps to. A provider of your own passes it too: call `providerContract` in a test.
 * Invariant: nothing here knows a provider; what differs is said by its capabilities and by the methods that it has.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { secretBytes } from "../../src/bytes.ts";
import { algorithmOf } from "../../src/crypto/catalogue.ts";
import type { Material } from "../../src/crypto/material.ts";
import type { CryptoProvider, KeyKind, OpenedKey, ProviderCapability } from "../../src/crypto/provider.ts";
import { softwareProvider } from "../../src/crypto/software-provider.ts";

type Family = OpenedKey["family"];
type Opened<F extends Family> = Extract<OpenedKey, { readonly family: F }>["key"];

export interface Contracted {
  /** The provider as a start opens it; a second one finds what the first one kept. */
  open(): Promise<CryptoProvider>;
  /** Those that are looked at; all unless given. */
  readonly wants?: (kind: KeyKind) => boolean;
}

const message = Buffer.from("a message of 32 bytes: no more..");
const aad = Buffer.from("context");

/** Tests of a provider. */
export function providerContract(title: string, { wants = () => true, ...contracted }: Contracted): void {
  const open = (): Promise<CryptoProvider> => contracted.open();
  describe(title, async () => {
    const { capabilities } = await open();

    test("has a name that fits, and each kind of key once", async () => {
      assert.match((await open()).name, /^[a-z0-9][a-z0-9-]{0,31}$/);
      const kinds = capabilities.map(({ type, purpose }) => `${type} ${purpose}`);
      assert.ok(kinds.length > 0);
      assert.equal(new Set(kinds).size, kinds.length);
      for (const { type, purpose } of capabilities) assert.equal(algorithmOf(type, purpose).purpose, purpose);
    });

    for (const capability of capabilities.filter(wants)) kindContract(capability, open);
  });
}

function kindContract(capability: ProviderCapability, open: Contracted["open"]): void {
  const { type, purpose, imports } = capability;
  const { family } = algorithmOf(type, purpose);
  const openKey = async (provider: CryptoProvider, material: Material): Promise<OpenedKey> => {
    const opened = await provider.open({ type, purpose }, material);
    assert.equal(opened.family, family);
    return opened;
  };

  describe(`${type} to ${purpose}`, () => {
    test("a key does what it is for, as long as nothing is changed", async () => {
      const provider = await open();
      const opened = await openKey(provider, await provider.generate(capability));
      await assertWorks(opened, opened, capability);
    });

    test("a key is the same after a restart, and for two that open it at once", async () => {
      const first = await open();
      const material = await first.generate(capability);
      const before = await openKey(first, material);
      const second = await open();
      const [one, two] = await Promise.all([openKey(second, material), openKey(second, material)]);
      await assertWorks(before, one, capability);
      await assertWorks(one, two, capability);
    });

    test("two keys are two", async () => {
      const provider = await open();
      const [one, two] = [await provider.generate(capability), await provider.generate(capability)];
      assert.notDeepEqual(one, two);
      await assertStrangers(await openKey(provider, one), await openKey(provider, two));
    });

    test("what it opens is its own copy: the bytes that it was given may be wiped", async () => {
      const provider = await open();
      const material = await provider.generate(capability);
      const kept = { form: material.form, bytes: secretBytes(Buffer.from(material.bytes)) };
      const handed = await openKey(provider, kept);
      if (provider.exportKey === undefined) kept.bytes.fill(0);
      await assertWorks(handed, await openKey(provider, material), capability);
    });

    test("an imported key is the one that was given", async (t) => {
      if (!imports) {
        t.skip("the provider takes none of this kind");
        return;
      }
      const provider = await open();
      const known = await softwareProvider.generate(capability);
      const format = algorithmOf(type, purpose).exportFormats[0] ?? "raw";
      const exported = await softwareProvider.exportKey(capability, known, format);
      const material = await provider.import(capability, exported);
      const ours = await openKey(provider, material);
      await assertWorks(ours, await softwareProvider.open(capability, known), capability);
      await assert.rejects(async () => provider.import(capability, { format: "raw", bytes: Buffer.of(1) }), {
        code: "invalid_key_material",
      });
    });

    test("a key leaves it in the form that was asked for, or not at all", async () => {
      const provider = await open();
      const material = await provider.generate(capability);
      if (provider.exportKey === undefined) {
        assert.equal(material.form, "handle");
        return;
      }
      const format = algorithmOf(type, purpose).exportFormats[0] ?? "raw";
      const exported = await provider.exportKey(capability, material, format);
      const elsewhere = await softwareProvider.import(capability, exported);
      await assertWorks(
        await softwareProvider.open(capability, elsewhere),
        await openKey(provider, material),
        capability,
      );
    });

    test("a destroyed key opens no more, a second destruction is no error, and the others stay", async () => {
      const provider = await open();
      if (provider.destroy === undefined) return;
      const [gone, other] = [await provider.generate(capability), await provider.generate(capability)];
      await provider.destroy(capability, gone);
      await provider.destroy(capability, gone);
      for (const one of [provider, await open()]) {
        await assert.rejects(async () => one.open(capability, gone));
        await openKey(one, other);
      }
    });

    test("material that it never made opens nothing", async () => {
      const provider = await open();
      const bytes = secretBytes(Buffer.from("../../../etc/passwd"));
      await assert.rejects(async () => {
        const opened = await provider.open(capability, { form: "handle", bytes });
        await assertWorks(opened, opened, capability);
      });
    });
  });
}

/** What one makes, the other takes, and takes no more where a bit is flipped. */
async function assertWorks(maker: OpenedKey, taker: OpenedKey, kind: KeyKind): Promise<void> {
  switch (maker.family) {
    case "cipher":
      return cipherWorks(maker.key, as(taker, "cipher"), kind);
    case "public-cipher": {
      const ciphertext = await maker.key.encrypt(message, aad);
      assert.deepEqual(plain(await as(taker, "public-cipher").decrypt(ciphertext, aad)), message);
      assert.equal(await as(taker, "public-cipher").decrypt(ciphertext, message), undefined);
      assert.equal(await as(taker, "public-cipher").decrypt(flipped(ciphertext), aad), undefined);
      samePublicPart(maker.key, as(taker, "public-cipher"));
      return;
    }
    case "signature": {
      assert.equal(maker.key.canSign, true);
      const signature = await maker.key.sign({ message });
      assert.equal(await as(taker, "signature").verify({ message }, signature), true);
      assert.equal(await as(taker, "signature").verify({ message: aad }, signature), false);
      assert.equal(await as(taker, "signature").verify({ message }, flipped(signature)), false);
      assert.equal(await as(taker, "signature").verify({ message }, Buffer.alloc(0)), false);
      samePublicPart(maker.key, as(taker, "signature"));
      return;
    }
    case "mac": {
      const code = await maker.key.mac(message);
      assert.equal(code.length, maker.key.macBytes);
      assert.equal(await as(taker, "mac").verify(message, code), true);
      assert.equal(await as(taker, "mac").verify(message, flipped(code)), false);
      assert.equal(await as(taker, "mac").verify(message, code.subarray(0, 16)), false);
      return;
    }
    case "kem": {
      const { sharedSecret, ciphertext } = await maker.key.encapsulate();
      assert.equal(ciphertext.length, maker.key.ciphertextBytes);
      assert.deepEqual(plain(await as(taker, "kem").decapsulate(ciphertext)), plain(sharedSecret));
      assert.equal(await as(taker, "kem").decapsulate(ciphertext.subarray(1)), undefined);
      assert.notDeepEqual(
        plain(await as(taker, "kem").decapsulate(flipped(ciphertext))),
        plain(sharedSecret),
      );
      samePublicPart(maker.key, as(taker, "kem"));
      return;
    }
    case "agreement": {
      const peer = await softwareProvider.generate(kind);
      const { key } = (await softwareProvider.open(kind, peer)) as Extract<
        OpenedKey,
        { family: "agreement" }
      >;
      const secret = await as(taker, "agreement").agree(key.publicKeyDer());
      assert.deepEqual(plain(await key.agree(maker.key.publicKeyDer())), plain(secret));
      assert.equal(secret?.length, 32);
      assert.equal(await maker.key.agree(Buffer.alloc(32)), undefined);
      assert.equal(await maker.key.agree(Buffer.alloc(31, 9)), undefined);
      samePublicPart(maker.key, as(taker, "agreement"));
      return;
    }
    case "wrap": {
      const wrapped = await maker.key.wrap(message);
      assert.deepEqual(plain(await as(taker, "wrap").unwrap(wrapped)), message);
      assert.equal(await as(taker, "wrap").unwrap(flipped(wrapped)), undefined);
      await assert.rejects(async () => maker.key.wrap(Buffer.alloc(0)), { code: "invalid_body" });
      return;
    }
    case "shown":
      assert.deepEqual(maker.key.publicKeyJwk(), as(taker, "shown").publicKeyJwk());
  }
}

async function cipherWorks(maker: Opened<"cipher">, taker: Opened<"cipher">, kind: KeyKind): Promise<void> {
  const known = (await softwareProvider.open(kind, await softwareProvider.generate(kind))) as Extract<
    OpenedKey,
    { family: "cipher" }
  >;
  assert.equal(maker.nonceBytes, known.key.nonceBytes);
  const sealed = await maker.encrypt(message, aad, 4);
  assert.ok(Buffer.isBuffer(sealed));
  assert.equal(sealed.length, (await known.key.encrypt(message, aad, 4)).length);
  assert.deepEqual(sealed.subarray(0, 4), Buffer.alloc(4));
  const body = sealed.subarray(4);
  assert.deepEqual(plain(await taker.decrypt(body, aad)), message);
  for (const context of [undefined, message]) assert.equal(await taker.decrypt(body, context), undefined);
  for (const length of [0, maker.nonceBytes, body.length - 1])
    assert.equal(await taker.decrypt(body.subarray(0, length), aad), undefined);
  for (let at = 0; at < body.length; at += 7)
    assert.equal(await taker.decrypt(flipped(body, at), aad), undefined);
  const nonces = await Promise.all(
    Array.from({ length: 500 }, async () =>
      (await maker.encrypt(Buffer.alloc(0), undefined, 0)).toString("latin1", 0, maker.nonceBytes),
    ),
  );
  assert.equal(new Set(nonces).size, nonces.length);
}

/** What one makes, the other does not take. */
async function assertStrangers(one: OpenedKey, other: OpenedKey): Promise<void> {
  switch (one.family) {
    case "cipher":
      assert.equal(await as(other, "cipher").decrypt(await one.key.encrypt(message, aad, 0), aad), undefined);
      return;
    case "public-cipher":
      assert.equal(
        await as(other, "public-cipher").decrypt(await one.key.encrypt(message, aad), aad),
        undefined,
      );
      return;
    case "signature":
      assert.equal(await as(other, "signature").verify({ message }, await one.key.sign({ message })), false);
      return;
    case "mac":
      assert.equal(await as(other, "mac").verify(message, await one.key.mac(message)), false);
      return;
    case "kem": {
      const { sharedSecret, ciphertext } = await one.key.encapsulate();
      assert.notDeepEqual(plain(await as(other, "kem").decapsulate(ciphertext)), plain(sharedSecret));
      return;
    }
    case "wrap":
      assert.equal(await as(other, "wrap").unwrap(await one.key.wrap(message)), undefined);
      return;
    case "agreement":
    case "shown":
      assert.notDeepEqual(one.key.publicKeyJwk(), as(other, one.family).publicKeyJwk());
  }
}

function samePublicPart(
  one: Pick<Opened<"signature">, "publicKeyDer" | "publicKeyJwk">,
  other: Pick<Opened<"signature">, "publicKeyDer" | "publicKeyJwk">,
): void {
  assert.deepEqual(plain(one.publicKeyDer()), plain(other.publicKeyDer()));
  assert.deepEqual(one.publicKeyJwk(), other.publicKeyJwk());
  for (const member of ["d", "p", "q", "priv", "k"]) assert.equal(one.publicKeyJwk()[member], undefined);
}

function as<F extends Family>(opened: OpenedKey, family: F): Opened<F> {
  assert.equal(opened.family, family);
  return opened.key as Opened<F>;
}

function plain(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes);
}

function flipped(bytes: Uint8Array, at = bytes.length >> 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
