/** Go KMS's rule about passwords beyond their length, which the service looks at itself. Invariant: pure. */

const kinds = [/\p{Lu}/u, /\p{Ll}/u, /\p{Nd}/u, /[^\p{L}\p{N}]/u] as const;

/** Whether a password has three of: upper case, lower case, digit, symbol. */
export function hasThreeKinds(password: string): boolean {
  return kinds.filter((kind) => kind.test(password)).length >= 3;
}
