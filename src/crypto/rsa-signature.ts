/**
 * RSA signatures with SHA-256: RSASSA-PKCS1-v1_5 (RFC 8017 §8.2), and RSASSA-PSS with MGF1 of SHA-256 and a salt of 32 bytes
 * (§8.1). A ready digest can be signed with PKCS#1 v1.5 only: the platforms' PSS hashes what it is given.
 */
import { Buffer } from "node:buffer";
import { constants, publicDecrypt, verify } from "node:crypto";
import { equalConstantTime } from "../bytes.ts";
import { keyPairOf, ownPrivateKey, publicPartOf } from "./asymmetric-key.ts";
import type { Material } from "./material.ts";
import { rsaPadding, SHA256_DIGEST_INFO, type Task } from "./off-loop-tasks.ts";
import { OffLoopKey } from "./off-loop.ts";
import { modulusBytesOf, rsaIsBrief } from "./rsa.ts";
import {
  assertDigest,
  assertOptions,
  messageOf,
  type SignatureOptions,
  type SignatureScheme,
  type SigningKey,
} from "./signing-key.ts";

export const rsaSchemes: readonly SignatureScheme[] = ["pkcs1v15", "pss"];
export const RSA_DIGEST_BYTES = 32;

/** Opens stored material for use. */
export function openRsaSigning(material: Material): SigningKey {
  const pair = keyPairOf(material);
  const { publicKey } = pair;
  const modulusBytes = modulusBytesOf(publicKey);
  const duration = { brief: rsaIsBrief(publicKey) };
  let offLoop: OffLoopKey | undefined;
  const signBy = (task: Task): Uint8Array | Promise<Uint8Array> => {
    offLoop ??= new OffLoopKey(pair);
    const signature = offLoop.run(task, duration);
    return signature instanceof Promise ? signature.then(signatureOf) : signatureOf(signature);
  };
  return {
    canSign: pair.privateKey !== undefined,
    sign(signed, options = {}) {
      ownPrivateKey(pair);
      if (takesDigest(signed, options)) return signBy({ run: "rsa-sign-digest", digest: signed.digest });
      return signBy({ run: "rsa-sign", message: messageOf(signed), scheme: options.scheme ?? "pkcs1v15" });
    },
    verify(signed, signature, options = {}) {
      const byDigest = takesDigest(signed, options);
      const message = byDigest ? undefined : messageOf(signed);
      // RFC 8017 §8.2.2 step 1: the raw operation would take a signature without its leading zeros.
      if (signature.length !== modulusBytes) return false;
      try {
        if (message !== undefined)
          return verify("sha256", message, rsaPadding(publicKey, options.scheme), signature);
        if (!byDigest) return false;
        const padding = constants.RSA_PKCS1_PADDING;
        const recovered = publicDecrypt({ key: publicKey, padding }, signature);
        return equalConstantTime(recovered, Buffer.concat([SHA256_DIGEST_INFO, signed.digest]));
      } catch {
        return false;
      }
    },
    ...publicPartOf(pair),
  };
}

/** Whether it is a digest that PKCS#1 v1.5 signs. Refuses options that RSA has not. */
function takesDigest(
  signed: Parameters<SigningKey["sign"]>[0],
  options: SignatureOptions,
): signed is { readonly digest: Uint8Array } {
  assertOptions(options, rsaSchemes, []);
  if (!("digest" in signed) || options.scheme === "pss") return false;
  assertDigest(signed.digest, RSA_DIGEST_BYTES);
  return true;
}

function signatureOf(result: unknown): Uint8Array {
  if (result instanceof Uint8Array) return result;
  throw new Error("a signing task answered no signature");
}
