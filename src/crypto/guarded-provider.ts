/**
 * A provider from outside, with a wall around it: what it gives is looked at, and what it throws becomes an error of the
 * service. The software provider needs none and has none.
 * Invariant: nothing that is not of the promised shape goes further; whatever goes wrong inside is `provider_unavailable`,
 * with the cause kept for the service's own log.
 */
import { Buffer } from "node:buffer";
import { asBuffer, secretBytes } from "../bytes.ts";
import { KeysteadError } from "../errors.ts";
import { algorithmOf, keyTypes, purposesOf, type Algorithm } from "./catalogue.ts";
import type { ExportedMaterial, KeyFormat, Material } from "./material.ts";
import type { CryptoProvider, KeyKind, OpenedKey } from "./provider.ts";

/** A handle names a key; it is no place to keep things. */
export const HANDLE_BYTES_MAX = 64 * 1024;

const namePattern = /^[a-z0-9][a-z0-9-]{0,31}$/;
const forms: readonly unknown[] = ["raw", "pkcs8", "spki", "handle"];

/** What a use of an opened key may give, and what becomes of it on its way to the service. */
const results = {
  bytes: (made: unknown) => buffer(made),
  /** What does not open gives nothing. */
  bytesOrNothing: (made: unknown) => (made === undefined ? undefined : buffer(made)),
  verdict: (made: unknown) => {
    if (typeof made !== "boolean") throw new Error("a provider gave something else than a verdict");
    return made;
  },
  /** A public key is looked at where it is shown, wrapped to or hashed. */
  jwk: (made: unknown) => {
    if (typeof made !== "object" || made === null) throw new Error("a provider gave no JWK");
    return made;
  },
  encapsulation: (made: unknown) => {
    const { sharedSecret, ciphertext } = (made ?? {}) as Readonly<Record<string, unknown>>;
    return { sharedSecret: buffer(sharedSecret), ciphertext: buffer(ciphertext) };
  },
} as const;

/** What an opened key of each family has: the type of a value, or what a use of it gives. */
const members: Readonly<
  Record<Algorithm["family"], Readonly<Record<string, "number" | "boolean" | ((made: unknown) => unknown)>>>
> = {
  cipher: { nonceBytes: "number", encrypt: results.bytes, decrypt: results.bytesOrNothing },
  "public-cipher": {
    canDecrypt: "boolean",
    plaintextBytesMax: "number",
    ciphertextBytes: "number",
    encrypt: results.bytes,
    decrypt: results.bytesOrNothing,
    publicKeyDer: results.bytes,
    publicKeyJwk: results.jwk,
  },
  signature: {
    canSign: "boolean",
    sign: results.bytes,
    verify: results.verdict,
    publicKeyDer: results.bytes,
    publicKeyJwk: results.jwk,
  },
  mac: { macBytes: "number", mac: results.bytes, verify: results.verdict },
  kem: {
    canDecapsulate: "boolean",
    ciphertextBytes: "number",
    encapsulate: results.encapsulation,
    decapsulate: results.bytesOrNothing,
    publicKeyDer: results.bytes,
    publicKeyJwk: results.jwk,
  },
  agreement: {
    canAgree: "boolean",
    agree: results.bytesOrNothing,
    publicKeyDer: results.bytes,
    publicKeyJwk: results.jwk,
  },
  wrap: { wrap: results.bytes, unwrap: results.bytesOrNothing },
  shown: { publicKeyJwk: results.jwk },
};

/** The provider within its wall. Throws an Error that says what is wrong with it, in one sentence. */
export function guardedProvider(provider: unknown): CryptoProvider {
  assertShape(provider);
  const { name } = provider;
  const guarded: CryptoProvider = {
    name,
    capabilities: provider.capabilities.map(({ type, purpose, imports }) => ({ type, purpose, imports })),
    generate: (kind) => guard(() => provider.generate(kind), materialOf),
    import: (kind, imported) => guard(() => provider.import(kind, imported), materialOf),
    open: (kind, material) =>
      guard(
        () => provider.open(kind, copyOf(material)),
        (opened) => openedOf(kind, opened),
      ),
  };
  return {
    ...guarded,
    ...(provider.exportKey === undefined
      ? {}
      : {
          exportKey: (kind, material, format) =>
            guard(
              () => provider.exportKey?.(kind, copyOf(material), format),
              (exported) => exportedIn(format, exported),
            ),
        }),
    ...(provider.destroy === undefined
      ? {}
      : {
          destroy: (kind, material) => guard(() => provider.destroy?.(kind, copyOf(material)), nothing),
        }),
    ...(provider.close === undefined ? {} : { close: () => guard(() => provider.close?.(), nothing) }),
  };
}

function assertShape(provider: unknown): asserts provider is CryptoProvider {
  if (typeof provider !== "object" || provider === null) throw new Error("a provider is an object");
  const { name, capabilities, ...rest } = withInherited(provider);
  if (typeof name !== "string" || !namePattern.test(name))
    throw new Error("a provider's name is lower-case letters, digits and -, at most 32");
  if (!Array.isArray(capabilities) || capabilities.length === 0)
    throw new Error("a provider's capabilities are a list with an entry for each kind of key");
  for (const capability of capabilities as readonly unknown[]) assertCapability(capability);
  for (const method of ["generate", "import", "open"] as const) {
    if (typeof rest[method] !== "function") throw new Error(`a provider has a method ${method}`);
  }
  for (const method of ["exportKey", "destroy", "close"] as const) {
    if (rest[method] !== undefined && typeof rest[method] !== "function")
      throw new Error(`a provider's ${method} is a method, or is left out`);
  }
}

function withInherited(provider: object): Readonly<Record<string, unknown>> {
  const names = ["name", "capabilities", "generate", "import", "open", "exportKey", "destroy", "close"];
  return Object.fromEntries(names.map((name) => [name, (provider as Record<string, unknown>)[name]]));
}

function assertCapability(capability: unknown): void {
  const { type, purpose, imports } = (capability ?? {}) as Record<string, unknown>;
  const known = keyTypes.find((candidate) => candidate === type);
  const purposes: readonly unknown[] = known === undefined ? [] : purposesOf(known);
  if (!purposes.includes(purpose) || typeof imports !== "boolean")
    throw new Error("a capability has a key type, a purpose of that type, and whether it imports");
}

/** Runs it and looks at what came; without a promise where none came. */
function guard<T, R>(run: () => T | Promise<T>, check: (made: T) => R): R | Promise<R> {
  try {
    const made = run();
    return made instanceof Promise
      ? made.then(check).catch((cause: unknown) => {
          throw unavailable(cause);
        })
      : check(made);
  } catch (cause) {
    throw unavailable(cause);
  }
}

function unavailable(cause: unknown): KeysteadError {
  return cause instanceof KeysteadError ? cause : new KeysteadError("provider_unavailable", { cause });
}

function materialOf(given: Partial<Material> | undefined): Material {
  const { form, bytes } = given ?? {};
  if (form === undefined || !forms.includes(form) || !(bytes instanceof Uint8Array) || bytes.length === 0)
    throw new Error("a provider gave no material");
  if (bytes.length > HANDLE_BYTES_MAX) throw new Error("a provider gave material that is too long");
  return { form, bytes: secretBytes(Buffer.from(bytes)) };
}

/** A provider never holds the bytes that the keyring does. */
function copyOf({ form, bytes }: Material): Material {
  return { form, bytes: secretBytes(Buffer.from(bytes)) };
}

function openedOf({ type, purpose }: KeyKind, opened: OpenedKey): OpenedKey {
  const { family } = algorithmOf(type, purpose);
  const source = opened.key as unknown as Readonly<Record<string, unknown>>;
  if (opened.family !== family || typeof source !== "object")
    throw new Error("a provider opened a key of another family");
  const key: Record<string, unknown> = {};
  for (const [member, wanted] of Object.entries(members[family])) {
    const value = source[member];
    if (typeof value !== (typeof wanted === "function" ? "function" : wanted))
      throw new Error(`a provider's opened key lacks ${member}`);
    key[member] =
      typeof wanted === "function"
        ? (...args: unknown[]): unknown =>
            guard(() => (value as (...args: unknown[]) => unknown).apply(source, args), wanted)
        : value;
  }
  // Its members were just looked at, one by one.
  return { family, key } as unknown as OpenedKey;
}

/** Bytes as a Buffer, which the service writes into and encodes. */
function buffer(made: unknown): Buffer {
  if (!(made instanceof Uint8Array)) throw new Error("a provider gave something else than bytes");
  return asBuffer(made);
}

function exportedIn(format: KeyFormat, exported: ExportedMaterial | undefined): ExportedMaterial {
  if (exported?.format !== format) throw new Error("a provider gave no key in the format asked for");
  if (exported.format === "jwk") {
    results.jwk(exported.jwk);
    return exported;
  }
  return { format: exported.format, bytes: secretBytes(buffer(exported.bytes)) };
}

function nothing(): undefined {
  return undefined;
}
