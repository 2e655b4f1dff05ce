/**
 * Mini KMS's profiles: profile P is the project `mini-P`.
 * Invariant: a profile that is not there, one that is to be deleted and one of others look the same: nothing is in them.
 */
import { z } from "zod";
import { asKeysteadError } from "../../errors.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { InvalidWire } from "../../http/facade/invalid-wire.ts";
import type { Operation } from "../../service/operation.ts";

const HEADER = "x-profile";
const DEFAULT_PROFILE = "default";
/** What the names of all profiles' projects begin with. */
export const PREFIX = "mini-";
const pattern = /^[a-z0-9._-]{1,59}$/;
const rule = "Input should be lower-case letters, digits, '.', '_' and '-', at most 59 of them";

export const profileName = z
  .string()
  .regex(pattern, rule)
  .meta({ examples: ["alice"] });

/** The header, for the API's description. */
export const profileHeader = {
  name: "X-Profile",
  in: "header",
  required: false,
  description: "The profile to act in; the rows about profiles pass over it.",
  schema: { type: "string", pattern: pattern.source, default: DEFAULT_PROFILE },
};

/** The project of a profile. */
export function projectOfProfile(name: string): string {
  return PREFIX + name;
}

/** The profile that a project is; undefined for one that is none. */
export function profileOfProject(name: string): string | undefined {
  return name.startsWith(PREFIX) && name.length > PREFIX.length ? name.slice(PREFIX.length) : undefined;
}

export interface Used<T> {
  /** What a header that is no profile's name is recorded under. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- operations of all kinds; only its id is looked at
  readonly operation: Operation<any, any>;
  /** Makes the profile where it is not there. */
  readonly makes?: boolean;
  /** What is done in the profile. */
  readonly use: (profile: FacadeCall) => Promise<T>;
  /** The answer where there is no such profile; absent: that there is none. */
  readonly absent?: () => T;
}

/** Does something in the profile that a request names. */
export async function inProfile<T>(
  call: FacadeCall,
  { operation, makes = false, use, absent }: Used<T>,
): Promise<T> {
  const name = call.header(HEADER) ?? DEFAULT_PROFILE;
  if (!pattern.test(name)) {
    const issue = { loc: ["header", HEADER], msg: rule, type: "value_error" };
    return call.refuse<unknown, T>(operation, new InvalidWire([issue]));
  }
  const profile = call.inProject(projectOfProfile(name));
  if (makes) await profile.ensureProject();
  try {
    return await use(profile);
  } catch (thrown) {
    const { code } = asKeysteadError(thrown);
    const isAbsent = code === "project_not_found" || code === "project_pending_deletion";
    if (isAbsent && absent !== undefined) return absent();
    throw thrown;
  }
}
