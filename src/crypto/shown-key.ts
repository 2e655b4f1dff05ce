/** What an opened key can do that is kept and shown: nothing is made with it here. The material stays inside the closures. */
import type { Jwk } from "./material.ts";

export interface ShownKey {
  /** The public JSON Web Key. */
  publicKeyJwk(): Jwk;
}
