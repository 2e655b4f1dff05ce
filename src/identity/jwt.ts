/**
 * The HS256 JSON Web Tokens (RFC 7519, RFC 7518 §3.2) that a shared secret signs: claims `sub`, `iat`, `exp`, `role`.
 * They act in one configured project and are revocable by subject and time of issue.
 * Invariant: only "the signature was good" is remembered, with the token as it was read; expiry, not-before, role and
 * revocation are looked at each time. No algorithm but HS256 is ever accepted. No `typ` and no `iss` is asked for: so
 * this verifier comes after all those that are told by theirs.
 */
import type { Buffer } from "node:buffer";
import { compactVerify } from "jose";
import type { CommitChange } from "../audit/change.ts";
import { decodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto/digest.ts";
import { KeysteadError } from "../errors.ts";
import { recordAgeMsMax, RecordCache } from "../record-cache.ts";
import type { Barrier, RecordPlace } from "../seal/barrier.ts";
import { StoreConflict, type Store } from "../storage/store.ts";
import type { Caller } from "./caller.ts";
import type { StatedToken, TokenVerifier } from "./token-verifier.ts";

const CACHE_ENTRIES = 10_000;
/** A token issued further in the future than this is refused. */
const CLOCK_SKEW_SECONDS = 60;
const SUBJECT_CHARACTERS_MAX = 256;

const jwtRoles = ["admin", "operator", "reader"] as const;

interface Claims {
  readonly sub: string;
  readonly role: (typeof jwtRoles)[number];
  readonly iat: number;
  readonly exp: number;
  readonly nbf: number;
}

interface Revocation {
  /** Tokens of the subject issued before this (seconds since 1970) are refused; 0 refuses none. */
  readonly issuedBefore: number;
  readonly revision: number;
}

export interface JwtOptions {
  /** The shared secret. */
  readonly secret: Uint8Array;
  /** The id of the project in which these tokens act. */
  readonly projectId: string;
}

export class JwtAuthority implements TokenVerifier {
  readonly #options: JwtOptions;
  readonly #revocations: JwtRevocations;
  readonly #verified = new WeakMap<StatedToken, Claims>();

  constructor(options: JwtOptions, revocations: JwtRevocations) {
    this.#options = options;
    this.#revocations = revocations;
  }

  owns({ algorithm }: StatedToken): boolean {
    return algorithm === "HS256";
  }

  async authenticate(stated: StatedToken, token: string): Promise<Caller> {
    const claims = this.#verified.get(stated) ?? (await this.#verify(stated, token));
    const now = Date.now() / 1000;
    if (
      claims === undefined ||
      claims.exp <= now ||
      claims.nbf > now ||
      claims.iat > now + CLOCK_SKEW_SECONDS
    ) {
      throw new KeysteadError("unauthenticated");
    }
    const { issuedBefore } = await this.#revocations.of(claims.sub);
    if (claims.iat < issuedBefore) throw new KeysteadError("unauthenticated");
    return {
      kind: "jwt",
      label: `jwt:${claims.sub}`,
      accountId: undefined,
      bindings: [{ id: "jwt", role: claims.role, project: this.#options.projectId }],
      credential: { method: "jwt", expiresAtMs: claims.exp * 1000 },
    };
  }

  async #verify(stated: StatedToken, token: string): Promise<Claims | undefined> {
    try {
      const { payload } = await compactVerify(token, this.#options.secret, { algorithms: ["HS256"] });
      const claims = parseClaims(payload);
      if (claims !== undefined) this.#verified.set(stated, claims);
      return claims;
    } catch {
      return undefined;
    }
  }
}

/** Which JWTs are refused before they expire. */
export class JwtRevocations {
  readonly #store: Store;
  readonly #barrier: Barrier;
  readonly #cache: RecordCache<Revocation>;

  constructor(store: Store, barrier: Barrier) {
    this.#store = store;
    this.#barrier = barrier;
    this.#cache = new RecordCache({
      entriesMax: CACHE_ENTRIES,
      ageMsMax: recordAgeMsMax(store),
    });
  }

  async of(subject: string): Promise<Revocation> {
    return (
      (await this.#cache.get(subject, async () => {
        const hash = sha256(subject);
        const [row] = await this.#store.select({ from: "jwt_revocations", where: { subject_hash: hash } });
        if (row === undefined) return { issuedBefore: 0, revision: 0 };
        return this.#barrier.openJson<Revocation>(jwtRevocationPlace(hash, row.revision), row.sealed);
      })) ?? { issuedBefore: 0, revision: 0 }
    );
  }

  /** Refuses the subject's tokens issued before a time (seconds since 1970). An earlier time than before changes nothing. */
  async revoke(subject: string, issuedBefore: number, commit: CommitChange): Promise<void> {
    const hash = sha256(subject);
    const before = await this.of(subject);
    const next: Revocation = {
      issuedBefore: Math.max(issuedBefore, before.issuedBefore),
      revision: before.revision + 1,
    };
    const { revision } = next;
    const sealed = this.#barrier.sealJson(jwtRevocationPlace(hash, revision), next);
    const write =
      before.revision === 0
        ? ({ insert: "jwt_revocations", row: { subject_hash: hash, revision, sealed } } as const)
        : ({
            update: "jwt_revocations",
            where: { subject_hash: hash, revision: before.revision },
            set: { revision, sealed },
          } as const);
    try {
      await commit([write], { resource: `jwt:${subject}`, details: { issued_before: next.issuedBefore } });
    } catch (error) {
      throw error instanceof StoreConflict ? new KeysteadError("conflict") : error;
    } finally {
      this.#cache.forget(subject);
    }
  }
}

function parseClaims(payload: Uint8Array): Claims | undefined {
  const claims = JSON.parse(decodeUtf8(payload) ?? "null") as Record<string, unknown> | null;
  if (claims === null || typeof claims !== "object") return undefined;
  const { sub, role, iat, exp, nbf } = claims;
  const known = jwtRoles.find((name) => name === role);
  if (typeof sub !== "string" || sub === "" || sub.length > SUBJECT_CHARACTERS_MAX || known === undefined)
    return undefined;
  if (!isTime(iat) || !isTime(exp) || (nbf !== undefined && !isTime(nbf))) return undefined;
  return { sub, role: known, iat, exp, nbf: nbf ?? 0 };
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

/** Where the revocation of a subject's tokens belongs. */
export function jwtRevocationPlace(hash: Buffer, revision: number): RecordPlace {
  return { project: "", kind: "jwt-revocation", id: hash.toString("hex"), revision, field: "record" };
}
