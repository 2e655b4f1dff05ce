/** The operations that sign, authenticate and agree: signatures, MACs, key encapsulation, and random bytes. */
import type { Buffer } from "node:buffer";
import { randomSecret } from "../crypto/random.ts";
import { agree, type Agreed, type AgreeInput } from "../keyring/agreement-use.ts";
import { decapsulate, encapsulate, type Decapsulated, type Encapsulated } from "../keyring/kem-use.ts";
import { mac, verifyMac, type Mac, type MacInput, type VerifyMacInput } from "../keyring/mac-use.ts";
import type { Key } from "../keyring/key.ts";
import {
  sign,
  verify,
  type Signature,
  type SignInput,
  type Verdict,
  type VerifyInput,
} from "../keyring/signature-use.ts";
import { findKey, keyResource, noteVersion, withKey, type Named } from "./key-resource.ts";
import type { GlobalOperation, ProjectOperation } from "./operation.ts";

/** Undefined takes the latest. */
interface Versioned {
  readonly version: number | undefined;
}

export const keySign: ProjectOperation<Named & SignInput & Versioned, Signature> = {
  id: "key.sign",
  scope: "kms:sign",
  inProject: true,
  resource: keyResource,
  run(context, input) {
    const use = (key: Key): Signature | Promise<Signature> =>
      sign(context.services.keyring, key, input, input.version);
    return noteVersion(context, withKey(context, input, use));
  },
};

export const keyVerify: ProjectOperation<Named & VerifyInput, Verdict> = {
  id: "key.verify",
  scope: "kms:verify",
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    noteVersion(
      context,
      withKey(context, input, (key) => verify(context.services.keyring, key, input)),
    ),
};

export const keyMac: ProjectOperation<Named & MacInput & Versioned, Mac> = {
  id: "key.mac",
  scope: "kms:mac",
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    noteVersion(
      context,
      withKey(context, input, (key) => mac(context.services.keyring, key, input, input.version)),
    ),
};

export const keyVerifyMac: ProjectOperation<Named & VerifyMacInput, Verdict> = {
  id: "key.verify_mac",
  scope: "kms:verify",
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    noteVersion(
      context,
      withKey(context, input, (key) => verifyMac(context.services.keyring, key, input)),
    ),
};

export const keyEncapsulate: ProjectOperation<Named & Versioned, Encapsulated> = {
  id: "key.encapsulate",
  scope: "kms:encrypt",
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    noteVersion(
      context,
      withKey(context, input, (key) => encapsulate(context.services.keyring, key, input.version)),
    ),
};

export const keyDecapsulate: ProjectOperation<Named & { readonly ciphertext: Uint8Array }, Decapsulated> = {
  id: "key.decapsulate",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  async run(context, input) {
    const result = await decapsulate(
      context.services.keyring,
      await findKey(context, input),
      input.ciphertext,
    );
    context.version = result.version;
    return result;
  },
};

export const keyAgree: ProjectOperation<Named & AgreeInput, Agreed> = {
  id: "key.agree",
  scope: "kms:decrypt",
  inProject: true,
  resource: keyResource,
  run: (context, input) =>
    noteVersion(
      context,
      withKey(context, input, (key) => agree(context.services.keyring, key, input)),
    ),
};

export const randomGenerate: GlobalOperation<{ readonly bytes: number }, Buffer> = {
  id: "random.generate",
  // Whoever has valid credentials may: the bytes are worth nothing to anybody else.
  scope: undefined,
  inProject: false,
  resource: () => undefined,
  run(context, { bytes }) {
    context.details = { bytes };
    return randomSecret(bytes);
  },
};
