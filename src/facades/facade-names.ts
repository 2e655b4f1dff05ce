/** The facades' names, as KEYSTEAD_FACADES takes them. Invariant: each has its row in catalogue.ts. */
export const facadeNames = ["auto-kms", "mini-kms", "go-kms"] as const;

export type FacadeName = (typeof facadeNames)[number];
