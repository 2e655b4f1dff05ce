/**
 * The provider that is always there: every key type of the catalogue, in this process.
 * Invariant: the material is the key itself, and is kept nowhere but in its sealed record.
 */
import { algorithmOf, keyTypes, purposesOf } from "./catalogue.ts";
import type { CryptoProvider, KeyKind, OpenedKey } from "./provider.ts";
import type { Material } from "./material.ts";

export const SOFTWARE = "software";

export const softwareProvider: Required<Omit<CryptoProvider, "destroy" | "close">> = {
  name: SOFTWARE,
  capabilities: keyTypes.flatMap((type) =>
    purposesOf(type).map((purpose) => ({ type, purpose, imports: true })),
  ),
  generate: ({ type, purpose }) => algorithmOf(type, purpose).generate(),
  import: ({ type, purpose }, imported) => algorithmOf(type, purpose).import(imported),
  open: openInSoftware,
  exportKey: ({ type, purpose }, material, format) => algorithmOf(type, purpose).exportKey(material, format),
};

function openInSoftware({ type, purpose }: KeyKind, material: Material): OpenedKey {
  if (material.form === "handle") throw new Error("the software provider knows no handles");
  const algorithm = algorithmOf(type, purpose);
  switch (algorithm.family) {
    case "cipher":
      return { family: "cipher", key: algorithm.open(material) };
    case "public-cipher":
      return { family: "public-cipher", key: algorithm.open(material) };
    case "signature":
      return { family: "signature", key: algorithm.open(material) };
    case "mac":
      return { family: "mac", key: algorithm.open(material) };
    case "kem":
      return { family: "kem", key: algorithm.open(material) };
    case "agreement":
      return { family: "agreement", key: algorithm.open(material) };
    case "wrap":
      return { family: "wrap", key: algorithm.open(material) };
    case "shown":
      return { family: "shown", key: algorithm.open(material) };
  }
}
