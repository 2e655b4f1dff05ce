/**
 * Which use is allowed in which state (after NIST SP 800-57 part 1, §7): the one table that is asked before every use.
 * Invariant: what the table does not allow is refused; there is no second place that decides it.
 */
import { KeysteadError, type ErrorCode } from "../errors.ts";

export type KeyState = "enabled" | "revoked";

/** What can be done with a key's material. */
export type KeyUse = "encrypt" | "decrypt" | "sign" | "verify" | "export" | "rotate";

const allowed: Readonly<Record<KeyState, Readonly<Record<KeyUse, boolean>>>> = {
  enabled: { encrypt: true, decrypt: true, sign: true, verify: true, export: true, rotate: true },
  revoked: { encrypt: false, decrypt: false, sign: false, verify: false, export: false, rotate: false },
};

const refusals: Readonly<Record<Exclude<KeyState, "enabled">, ErrorCode>> = { revoked: "key_revoked" };

/** Throws the state's own error where it does not allow the use. */
export function assertUsable(state: KeyState, use: KeyUse): void {
  if (!allowed[state][use]) throw new KeysteadError(state === "enabled" ? "key_usage" : refusals[state]);
}
