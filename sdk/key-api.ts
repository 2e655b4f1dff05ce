/** The calls on keys: `client.key`. Each is named as its operation: `key.rotate` is `client.key.rotate`. */
import { pathSegment, type CallOptions, type Transport } from "./transport.ts";
import { bytesField, fromBase64, toBase64 } from "./wire-bytes.ts";
import type {
  Decrypted,
  Encrypted,
  ExportedKey,
  Key,
  KeyRevoked,
  KeyType,
  Page,
  Signature,
  Verified,
} from "./wire.ts";

/** Where a page begins and how long it is; the service gives 100 items unless told, and at most 1000. */
export interface PageOptions extends CallOptions {
  readonly limit?: number | undefined;
  /** The `next_cursor` of the page before. */
  readonly cursor?: string | undefined;
}

export interface KeyCreateOptions extends CallOptions {
  /** `aes-256` unless set. */
  readonly type?: KeyType | undefined;
  /** Whether the raw key may leave the service. Such a key does not encrypt on the server. */
  readonly exportable?: boolean | undefined;
}

export interface ContextOptions extends CallOptions {
  /** Additional authenticated data: decryption takes the same. */
  readonly aad?: string | Uint8Array | undefined;
}

export interface VersionOptions extends CallOptions {
  /** The latest unless set. */
  readonly version?: number | undefined;
}

/** Key material from outside: raw bytes, DER, or a JSON Web Key. */
export type ImportMaterial =
  | { readonly format: "raw" | "pkcs8" | "spki"; readonly bytes: Uint8Array }
  | { readonly format: "jwk"; readonly jwk: Readonly<Record<string, unknown>> };

/** What is signed: a message, or its SHA-256 digest of 32 bytes. */
export type Signed = { readonly message: string | Uint8Array } | { readonly digest: Uint8Array };

export class KeyApi {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Makes a key. Throws `key_exists` where the name is taken. */
  create(name: string, { type, exportable, ...call }: KeyCreateOptions = {}): Promise<Key> {
    return this.#transport.send({ method: "POST", path: "/v1/keys", body: { name, type, exportable } }, call);
  }

  /** Makes a key from given material. */
  import(
    name: string,
    type: KeyType,
    material: ImportMaterial,
    { exportable, ...call }: Omit<KeyCreateOptions, "type"> = {},
  ): Promise<Key> {
    const { format } = material;
    const given =
      material.format === "jwk" ? { jwk: material.jwk } : { material_b64: toBase64(material.bytes) };
    return this.#post(`${keyPath(name)}/import`, { type, format, exportable, ...given }, call);
  }

  /** One page of the project's keys, by name. */
  list({ limit, cursor, ...call }: PageOptions = {}): Promise<Page<"keys", Key>> {
    return this.#transport.send({ method: "GET", path: "/v1/keys", query: { limit, cursor } }, call);
  }

  get(name: string, call: CallOptions = {}): Promise<Key> {
    return this.#transport.send({ method: "GET", path: keyPath(name) }, call);
  }

  /** Adds a version, which encrypts and signs from then on. Older ones still decrypt and verify. */
  rotate(name: string, call: CallOptions = {}): Promise<Key> {
    return this.#post(`${keyPath(name)}/rotate`, {}, call);
  }

  /** Refuses every use of the key from now on. */
  revoke(name: string, call: CallOptions = {}): Promise<KeyRevoked> {
    return this.#post(`${keyPath(name)}/revoke`, {}, call);
  }

  /** Encrypts under the key's latest version. */
  encrypt(
    name: string,
    plaintext: string | Uint8Array,
    { aad, ...call }: ContextOptions = {},
  ): Promise<Encrypted> {
    const body = { ...bytesField("plaintext", plaintext), ...bytesField("aad", aad) };
    return this.#post(`/v1/encrypt/${pathSegment(name)}`, body, call);
  }

  /**
   * Decrypts what any version of the key encrypted with the same additional data. Throws `decryption_failed`.
   * @param ciphertext base64, as `encrypt` gave it
   */
  async decrypt(name: string, ciphertext: string, { aad, ...call }: ContextOptions = {}): Promise<Decrypted> {
    const body = { ciphertext, ...bytesField("aad", aad) };
    const answer = await this.#post<{ plaintext_b64: string; version: number }>(
      `/v1/decrypt/${pathSegment(name)}`,
      body,
      call,
    );
    return { plaintext: fromBase64(answer.plaintext_b64), version: answer.version };
  }

  /** Signs with the key's latest version: RSA PKCS#1 v1.5, or ECDSA in ASN.1 DER, over SHA-256. */
  async sign(name: string, signed: Signed, call: CallOptions = {}): Promise<Signature> {
    const answer = await this.#post<{ signature_b64: string; version: number }>(
      `${keyPath(name)}/sign`,
      signedFields(signed),
      call,
    );
    return { signature: fromBase64(answer.signature_b64), version: answer.version };
  }

  /** Whether any version of the key (or the one that `version` names) made the signature. */
  verify(
    name: string,
    signed: Signed,
    signature: Uint8Array,
    { version, ...call }: VersionOptions = {},
  ): Promise<Verified> {
    const body = { ...signedFields(signed), signature_b64: toBase64(signature), version };
    return this.#post(`${keyPath(name)}/verify`, body, call);
  }

  /** Fetches an exportable key's raw material: for service accounts that have the role `exporter`. */
  async export(name: string, { version, ...call }: VersionOptions = {}): Promise<ExportedKey> {
    const answer = await this.#transport.send<{
      key_material_b64: string;
      algorithm: string;
      version: number;
    }>({ method: "GET", path: `/v1/export/${pathSegment(name)}`, query: { version } }, call);
    return {
      keyMaterial: fromBase64(answer.key_material_b64),
      algorithm: answer.algorithm,
      version: answer.version,
    };
  }

  #post<T>(path: string, body: Readonly<Record<string, unknown>>, call: CallOptions): Promise<T> {
    return this.#transport.send({ method: "POST", path, body }, call);
  }
}

function keyPath(name: string): string {
  return `/v1/keys/${pathSegment(name)}`;
}

function signedFields(signed: Signed): Record<string, string> {
  return "digest" in signed ? { digest_b64: toBase64(signed.digest) } : bytesField("message", signed.message);
}
