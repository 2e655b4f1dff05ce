/**
 * The cursors of paged lists, sealed by the barrier, so that they tell nothing and nobody else can make one. One that an
 * older barrier key sealed is good until that key is deleted, an hour after the last record has left it at the earliest.
 */
import { Buffer } from "node:buffer";
import { decodeBase64Url } from "../bytes.ts";
import { sealedVersion, type RecordPlace } from "./barrier.ts";
import type { BarrierKeys } from "./barrier-keys.ts";

const place: RecordPlace = { project: "", kind: "cursor", id: "", revision: 0, field: "name" };

export class SealedCursors {
  readonly #keys: BarrierKeys;

  constructor(keys: BarrierKeys) {
    this.#keys = keys;
  }

  seal(name: string): string {
    return Buffer.from(this.#keys.barrier.seal(place, Buffer.from(name, "utf8"))).toString("base64url");
  }

  /** The name that a cursor holds, from whichever node; undefined for what `seal` did not make. */
  async open(cursor: string): Promise<string | undefined> {
    const sealed = decodeBase64Url(cursor);
    const version = sealed === undefined ? undefined : sealedVersion(sealed);
    if (sealed === undefined || version === undefined || !(await this.#keys.knows(version))) return undefined;
    try {
      return this.#keys.barrier.open(place, sealed).toString("utf8");
    } catch {
      return undefined;
    }
  }
}
