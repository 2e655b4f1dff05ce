/**
 * What may be done with a key in which state (after NIST SP 800-57 part 1, §7): the one table that is asked before every
 * use and every change. docs/api.md shows it, and the tests enumerate all of it.
 * Invariant: what the table does not allow is refused; there is no second place that decides it, but for the
 * public part: it is shown in every state but the last, of disabled versions too.
 */
import { KeysteadError, type ErrorCode } from "../errors.ts";

/** `revoked` means compromised: it is never used again. `destroyed` leaves a record without material. */
export const keyStates = ["enabled", "disabled", "revoked", "pending_deletion", "destroyed"] as const;
export type KeyState = (typeof keyStates)[number];

/** What can be done with a key's material. */
export const keyUses = [
  "encrypt",
  "decrypt",
  "sign",
  "verify",
  "mac",
  "verify_mac",
  "encapsulate",
  "decapsulate",
  "agree",
  "wrap",
  "unwrap",
  "export",
] as const;
export type KeyUse = (typeof keyUses)[number];

/** What can be changed about a key. */
export const keyChanges = [
  "rotate",
  "update",
  "enable",
  "disable",
  "revoke",
  "schedule_deletion",
  "cancel_deletion",
] as const;
export type KeyChange = (typeof keyChanges)[number];

export type KeyAction = KeyUse | KeyChange;

const allowed: Readonly<Record<KeyState, ReadonlySet<KeyAction>>> = {
  enabled: new Set([...keyUses, "rotate", "update", "enable", "disable", "revoke", "schedule_deletion"]),
  disabled: new Set(["update", "enable", "disable", "revoke", "schedule_deletion"]),
  revoked: new Set(["update", "revoke", "schedule_deletion"]),
  // A compromise that comes to light meanwhile must not need the key's return to use.
  pending_deletion: new Set(["revoke", "cancel_deletion"]),
  destroyed: new Set([]),
};

/** What an action is refused with where the state does not allow it. */
const refusals: Readonly<Record<KeyState, ErrorCode>> = {
  enabled: "key_usage",
  disabled: "key_disabled",
  revoked: "key_revoked",
  pending_deletion: "key_pending_deletion",
  destroyed: "key_destroyed",
};

/** Throws the state's own error where it does not allow the action. */
export function assertAllowed(state: KeyState, action: KeyAction): void {
  if (allowed[state].has(action)) return;
  const neverScheduled = action === "cancel_deletion" && state !== "destroyed";
  throw new KeysteadError(neverScheduled ? "key_not_pending_deletion" : refusals[state]);
}

/** Whether the state allows the action. */
export function isAllowed(state: KeyState, action: KeyAction): boolean {
  return allowed[state].has(action);
}

export const versionStates = ["enabled", "disabled"] as const;
export type KeyVersionState = (typeof versionStates)[number];
