/**
 * The calls on keys: `client.key`. Each is named as its operation: `key.rotate` is `client.key.rotate`. Here are those on keys
 * themselves; their uses are in cipher-calls.ts, signature-calls.ts and batch-calls.ts.
 */
import { BatchCalls } from "./batch-calls.ts";
import { KeysteadInputError } from "./input-error.ts";
import { keyPath, type VersionOptions } from "./key-calls.ts";
import type { CallOptions } from "./transport.ts";
import { fromBase64, toBase64 } from "./wire-bytes.ts";
import type {
  ExportedJwk,
  ExportedKey,
  Key,
  KeyFormat,
  KeyPurpose,
  KeyRevoked,
  KeyState,
  KeyType,
  Page,
  PublicKey,
} from "./wire.ts";

/** Where a page begins and how long it is; the service gives 100 items unless told, and at most 1000. */
export interface PageOptions extends CallOptions {
  readonly limit?: number | undefined;
  /** The `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
}

/** What a key is made with. */
export interface KeyCreateOptions extends CallOptions {
  /** `aes-256` unless set. */
  readonly type?: KeyType | undefined;
  /** The type's first unless set; an RSA key signs or encrypts. */
  readonly purpose?: KeyPurpose | undefined;
  /** Whether the key may leave the service. Such a key does not encrypt on the server. */
  readonly exportable?: boolean | undefined;
  readonly description?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** The key rotates by itself when its latest version is this old. */
  readonly rotationPeriodDays?: number | undefined;
}

/** What a list shows only; all of it together. */
export interface KeyListOptions extends PageOptions {
  /** Destroyed keys are shown only where they are asked for. */
  readonly state?: KeyState | undefined;
  readonly type?: KeyType | undefined;
  readonly purpose?: KeyPurpose | undefined;
  /** What the names begin with. */
  readonly prefix?: string | undefined;
  /** All of them must be there; an empty value asks for the label whatever its value. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** What is changed about a key; what is not set stays, null takes it away. */
export interface KeyUpdateOptions extends CallOptions {
  readonly description?: string | null | undefined;
  /** Replaces all labels. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly minEncryptionVersion?: number | undefined;
  readonly minDecryptionVersion?: number | undefined;
  readonly rotationPeriodDays?: number | null | undefined;
  /** An exportable key can be made one that is not; there is no way back. */
  readonly exportable?: false | undefined;
}

export interface KeyVersionOptions extends CallOptions {
  /** This version instead of the whole key. */
  readonly version?: number | undefined;
}

export interface DeletionOptions extends CallOptions {
  /** 7 to 30; 30 unless set. */
  readonly days?: number | undefined;
}

export interface KeyExportOptions extends VersionOptions {
  /** The type's first unless set: `raw`, or `pkcs8` for a key that has a public part. */
  readonly format?: KeyFormat | undefined;
  /** Wraps the material under a key of the service (AES-KWP). */
  readonly wrappingKey?: string | undefined;
  /** Wraps it to somebody's RSA public key (SubjectPublicKeyInfo in DER): RSA-OAEP and AES-KWP. */
  readonly wrappingPublicKey?: Uint8Array | undefined;
}

/** Key material from outside: raw bytes, DER, a JSON Web Key, or bytes that were wrapped under a key of the service. */
export type ImportMaterial =
  | { readonly format: "raw" | "pkcs8" | "spki"; readonly bytes: Uint8Array }
  | { readonly format: "jwk"; readonly jwk: Readonly<Record<string, unknown>> }
  | WrappedMaterial;

export interface WrappedMaterial {
  /** What the material is when it is unwrapped. */
  readonly format: "raw" | "pkcs8" | "spki";
  readonly wrapped: Uint8Array;
  readonly wrappingKey: string;
}

export class KeyApi extends BatchCalls {
  /** Makes a key. Throws `key_exists` where the name is taken. */
  create(name: string, options: KeyCreateOptions = {}): Promise<Key> {
    const { type, purpose, exportable, description, labels, rotationPeriodDays, ...call } = options;
    const fields = { exportable, description, labels, rotation_period_days: rotationPeriodDays };
    const body = { name, type, purpose, ...fields };
    return this.transport.send({ method: "POST", path: "/v1/keys", body }, call);
  }

  /** Makes a key from given material. */
  import(
    name: string,
    type: KeyType,
    material: ImportMaterial,
    options: Omit<KeyCreateOptions, "type"> = {},
  ): Promise<Key> {
    const { purpose, exportable, description, labels, rotationPeriodDays, ...call } = options;
    const fields = { exportable, description, labels, rotation_period_days: rotationPeriodDays };
    const body = { type, purpose, ...fields, format: material.format, ...materialFields(material) };
    return this.post(name, "import", body, call);
  }

  /** One page of the project's keys, by name. A page may be shorter than asked where not all keys fit the options. */
  list(options: KeyListOptions = {}): Promise<Page<"keys", Key>> {
    const { limit, cursor, state, type, purpose, prefix, labels, ...call } = options;
    const query = { limit, cursor, state, type, purpose, prefix, labels: labelsQuery(labels) };
    return this.transport.send({ method: "GET", path: "/v1/keys", query }, call);
  }

  get(name: string, call: CallOptions = {}): Promise<Key> {
    return this.transport.send({ method: "GET", path: keyPath(name) }, call);
  }

  /** Changes what is said of a key, and which of its versions may be used. */
  update(name: string, options: KeyUpdateOptions): Promise<Key> {
    const { description, labels, exportable, ...others } = options;
    const { minEncryptionVersion, minDecryptionVersion, rotationPeriodDays, ...call } = others;
    const body = {
      description,
      labels,
      min_encryption_version: minEncryptionVersion,
      min_decryption_version: minDecryptionVersion,
      rotation_period_days: rotationPeriodDays,
      exportable,
    };
    return this.transport.send({ method: "PATCH", path: keyPath(name), body }, call);
  }

  /** Adds a version, which encrypts and signs from then on. Older ones still decrypt and verify. */
  rotate(name: string, call: CallOptions = {}): Promise<Key> {
    return this.post(name, "rotate", {}, call);
  }

  /** Allows uses of a disabled key, or version, again. */
  enable(name: string, { version, ...call }: KeyVersionOptions = {}): Promise<Key> {
    return this.post(name, "enable", { version }, call);
  }

  /** Refuses uses of the key, or of one version, until it is enabled again. */
  disable(name: string, { version, ...call }: KeyVersionOptions = {}): Promise<Key> {
    return this.post(name, "disable", { version }, call);
  }

  /** Refuses every use of the key from now on, for good. */
  revoke(name: string, call: CallOptions = {}): Promise<KeyRevoked> {
    return this.post(name, "revoke", {}, call);
  }

  /** Refuses every use of the key, and destroys it in 7 to 30 days. */
  scheduleDeletion(name: string, { days, ...call }: DeletionOptions = {}): Promise<Key> {
    return this.post(name, "schedule-deletion", { days }, call);
  }

  /** Keeps a key that was to be deleted, in the state that it had before. */
  cancelDeletion(name: string, call: CallOptions = {}): Promise<Key> {
    return this.post(name, "cancel-deletion", {}, call);
  }

  /** The public part of an asymmetric key. */
  public(name: string, { version, ...call }: VersionOptions = {}): Promise<PublicKey> {
    const path = `${keyPath(name)}/public-key`;
    return this.transport.send({ method: "GET", path, query: { version } }, call);
  }

  /** Fetches an exportable key's material: for service accounts that have the role `exporter`. */
  export(name: string, options: KeyExportOptions & { readonly format: "jwk" }): Promise<ExportedJwk>;
  export(
    name: string,
    options?: KeyExportOptions & { readonly format?: Exclude<KeyFormat, "jwk"> | undefined },
  ): Promise<ExportedKey>;
  export(name: string, options?: KeyExportOptions): Promise<ExportedKey | ExportedJwk>;
  async export(name: string, options: KeyExportOptions = {}): Promise<ExportedKey | ExportedJwk> {
    const { format, version, wrappingKey, wrappingPublicKey, ...call } = options;
    const body = {
      format,
      version,
      wrapping_key: wrappingKey,
      wrapping_public_key_b64: wrappingPublicKey === undefined ? undefined : toBase64(wrappingPublicKey),
    };
    const answer = await this.use<ExportAnswer>(name, "export", body, call);
    const facts = { algorithm: answer.algorithm, version: answer.version };
    if (answer.format === "jwk") return { ...facts, format: "jwk", jwk: answer.jwk };
    const isWrapped = answer.wrapped_material_b64 !== undefined;
    const keyMaterial = fromBase64(answer.wrapped_material_b64 ?? answer.material_b64);
    return { ...facts, format: answer.format, isWrapped, keyMaterial };
  }
}

type ExportAnswer = { readonly algorithm: string; readonly version: number } & (
  | { readonly format: "jwk"; readonly jwk: Readonly<Record<string, unknown>> }
  | {
      readonly format: Exclude<KeyFormat, "jwk">;
      readonly material_b64?: string;
      readonly wrapped_material_b64?: string;
    }
);

function materialFields(material: ImportMaterial): Record<string, unknown> {
  if ("wrapped" in material) {
    return { wrapped_material_b64: toBase64(material.wrapped), wrapping_key: material.wrappingKey };
  }
  return material.format === "jwk" ? { jwk: material.jwk } : { material_b64: toBase64(material.bytes) };
}

/** `name:value` for a label with this value, `name` for the label alone, with commas between. */
function labelsQuery(labels: Readonly<Record<string, string>> | undefined): string | undefined {
  const asked = Object.entries(labels ?? {});
  if (asked.length === 0) return undefined;
  if (asked.some(([name, value]) => /[,:]/.test(name) || name === "" || value.includes(","))) {
    throw new KeysteadInputError("invalid_label", "A label's name and value have no commas or colons");
  }
  return asked.map(([name, value]) => (value === "" ? name : `${name}:${value}`)).join(",");
}
