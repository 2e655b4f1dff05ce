/** All facades, by name. Invariant: whatever combination of them is on, no two rows match one request. */
import type { Facade } from "../http/facade/facade.ts";
import type { OperationFacts } from "../service/operation.ts";
import { autoKms } from "./auto-kms/auto-kms.ts";
import type { FacadeName } from "./facade-names.ts";
import { miniKms } from "./mini-kms/mini-kms.ts";
import { goKms } from "./go-kms/go-kms.ts";

export const facades: Readonly<Record<FacadeName, Facade>> = {
  "auto-kms": autoKms,
  "mini-kms": miniKms,
  "go-kms": goKms,
};

/** The operations that the rows of these facades are recorded under, native ones among them. */
export function facadeOperations(names: readonly FacadeName[]): OperationFacts[] {
  return names.flatMap((name) =>
    facades[name].routes.flatMap(({ operation }) => (operation === undefined ? [] : [operation])),
  );
}
