/** Signatures, MACs, key encapsulation and agreement: a part of `client.key`. */
import { CipherCalls } from "./cipher-calls.ts";
import type { VersionOptions } from "./key-calls.ts";
import type { CallOptions } from "./transport.ts";
import { base64Of, bytesField, fromBase64, toBase64 } from "./wire-bytes.ts";
import type {
  Agreed,
  Decapsulated,
  Encapsulated,
  KeyDerivation,
  Mac,
  Signature,
  SignatureEncoding,
  SignatureScheme,
  Verified,
} from "./wire.ts";

/** What is signed: a message, or its digest by the hash of the key's type. */
export type Signed = { readonly message: string | Uint8Array } | { readonly digest: Uint8Array };

/** The form of a signature, where the key's type has a choice. */
export interface SignatureForm {
  /** RSA: `pkcs1v15` unless set. */
  readonly scheme?: SignatureScheme | undefined;
  /** ECDSA: `der` unless set. */
  readonly encoding?: SignatureEncoding | undefined;
}

export interface SignatureOptions extends VersionOptions, SignatureForm {}

/** How a shared secret becomes a key. */
export interface AgreeOptions extends VersionOptions {
  /** `hkdf-sha-256` unless set; `none` gives the shared secret as it is, for a derivation of your own. */
  readonly kdf?: KeyDerivation | undefined;
  readonly salt?: Uint8Array | undefined;
  /** What the key is for, and who shares it: both sides give the same. */
  readonly info?: string | Uint8Array | undefined;
  /** The key's length; 32 unless set. */
  readonly bytes?: number | undefined;
}

export class SignatureCalls extends CipherCalls {
  /** Signs with the key's latest version, or the one that is asked for. */
  async sign(
    name: string,
    signed: Signed,
    { scheme, encoding, version, ...call }: SignatureOptions = {},
  ): Promise<Signature> {
    const body = { ...signedFields(signed), scheme, encoding, version };
    const answer = await this.use<{ signature_b64: string; version: number }>(name, "sign", body, call);
    return { signature: fromBase64(answer.signature_b64), version: answer.version };
  }

  /** Whether any version of the key (or the one that `version` names) made the signature. */
  verify(
    name: string,
    signed: Signed,
    signature: Uint8Array,
    { scheme, encoding, version, ...call }: SignatureOptions = {},
  ): Promise<Verified> {
    const body = {
      ...signedFields(signed),
      scheme,
      encoding,
      signature_b64: toBase64(signature),
      version,
    };
    return this.use(name, "verify", body, call);
  }

  /** Makes a message authentication code. */
  async mac(
    name: string,
    message: string | Uint8Array,
    { version, ...call }: VersionOptions = {},
  ): Promise<Mac> {
    const body = { ...bytesField("message", message), version };
    const answer = await this.use<{ mac_b64: string; version: number }>(name, "mac", body, call);
    return { mac: fromBase64(answer.mac_b64), version: answer.version };
  }

  /** Whether any version of the key (or the one that `version` names) made the code. */
  verifyMac(
    name: string,
    message: string | Uint8Array,
    mac: Uint8Array,
    { version, ...call }: VersionOptions = {},
  ): Promise<Verified> {
    const body = { ...bytesField("message", message), mac_b64: toBase64(mac), version };
    return this.use(name, "verify-mac", body, call);
  }

  /** Makes a shared secret, and the ciphertext that gives it to whoever may decapsulate. */
  async encapsulate(name: string, { version, ...call }: VersionOptions = {}): Promise<Encapsulated> {
    const { shared_secret_b64, ...answer } = await this.use<{
      shared_secret_b64: string;
      ciphertext: string;
      version: number;
    }>(name, "encapsulate", { version }, call);
    return { ...answer, sharedSecret: fromBase64(shared_secret_b64) };
  }

  /** The shared secret of an encapsulation: base64, as `encapsulate` gave it, or its bytes. */
  async decapsulate(
    name: string,
    ciphertext: string | Uint8Array,
    call: CallOptions = {},
  ): Promise<Decapsulated> {
    const answer = await this.use<{ shared_secret_b64: string; version: number }>(
      name,
      "decapsulate",
      { ciphertext: base64Of(ciphertext) },
      call,
    );
    return { sharedSecret: fromBase64(answer.shared_secret_b64), version: answer.version };
  }

  /**
   * The secret that the key and a peer's public key have in common, derived into a key with HKDF-SHA-256.
   * @param peerPublicKey the key's 32 bytes, or its SPKI
   */
  async agree(
    name: string,
    peerPublicKey: Uint8Array,
    { kdf, salt, info, bytes, version, ...call }: AgreeOptions = {},
  ): Promise<Agreed> {
    const body = {
      peer_public_key_b64: toBase64(peerPublicKey),
      kdf,
      salt_b64: salt === undefined ? undefined : toBase64(salt),
      ...(info === undefined ? {} : bytesField("info", info)),
      bytes,
      version,
    };
    const answer = await this.use<{ shared_secret_b64: string; version: number }>(name, "agree", body, call);
    return { sharedSecret: fromBase64(answer.shared_secret_b64), version: answer.version };
  }
}

/** What is signed, as the members of a request. */
export function signedFields(signed: Signed): Record<string, string> {
  return "digest" in signed ? { digest_b64: toBase64(signed.digest) } : bytesField("message", signed.message);
}
