/** The cursors of paged lists, sealed by the barrier, so that they tell nothing and nobody else can make one. */
import { Buffer } from "node:buffer";
import { decodeBase64Url } from "../bytes.ts";
import type { Barrier, RecordPlace } from "./barrier.ts";

const place: RecordPlace = { project: "", kind: "cursor", id: "", revision: 0, field: "name" };

export class SealedCursors {
  readonly #barrier: Barrier;

  constructor(barrier: Barrier) {
    this.#barrier = barrier;
  }

  seal(name: string): string {
    return Buffer.from(this.#barrier.seal(place, Buffer.from(name, "utf8"))).toString("base64url");
  }

  open(cursor: string): string | undefined {
    const sealed = decodeBase64Url(cursor);
    try {
      return sealed === undefined ? undefined : this.#barrier.open(place, sealed).toString("utf8");
    } catch {
      return undefined;
    }
  }
}
