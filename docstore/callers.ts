/**
 * Who may ask the document server for what: tokens of its own, from a file.
 *
 *     # one token a line, at least 32 visible ASCII characters; the projects it opens behind it, or none for all
 *     9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c shop billing
 *
 * Invariant: tokens are kept as hashes, and compared in a time that tells nothing of them.
 */
import { sameHash, sha256 } from "./document-cipher.ts";
import { foldProject } from "./document-name.ts";

const tokenText = /^[\x21-\x7e]{32,512}$/;

export interface DocumentCaller {
  readonly tokenHash: Uint8Array;
  /** Undefined for all. */
  readonly projects: ReadonlySet<string> | undefined;
}

/** A line of the file that cannot be meant so; its number, and nothing of it, is in the message. */
export class CallersRefused extends Error {
  constructor(line: number) {
    super(
      `line ${line} of the tokens' file is no token of 32 to 512 characters with names of projects behind it`,
    );
    this.name = "CallersRefused";
  }
}

/** @throws CallersRefused */
export function parseCallers(text: string): DocumentCaller[] {
  return text.split("\n").flatMap((line, i) => {
    const [token, ...projects] = line.split(/\s+/).filter((word) => word !== "");
    if (token === undefined || token.startsWith("#")) return [];
    if (!tokenText.test(token)) throw new CallersRefused(i + 1);
    try {
      const folded = projects.map(foldProject);
      return [{ tokenHash: sha256(token), projects: folded.length === 0 ? undefined : new Set(folded) }];
    } catch {
      throw new CallersRefused(i + 1);
    }
  });
}

/** The caller of an `Authorization` header; undefined for nobody. */
export function callerOf(
  callers: readonly DocumentCaller[],
  authorization: string | undefined,
): DocumentCaller | undefined {
  const token = /^Bearer ([\x21-\x7e]{1,512})$/.exec(authorization ?? "")?.[1];
  if (token === undefined) return undefined;
  const hash = sha256(token);
  return callers.filter(({ tokenHash }) => sameHash(tokenHash, hash)).at(0);
}

/** Whether the caller may do anything in a project, whose name is folded. */
export function mayUse({ projects }: DocumentCaller, project: string): boolean {
  return projects?.has(project) ?? true;
}
