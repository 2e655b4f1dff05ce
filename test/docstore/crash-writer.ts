/** A process that writes documents until it is killed, and says on standard output what was acknowledged to it. */
import { DocStore } from "../../docstore/doc-store.ts";
import type { DekForm } from "../../docstore/dek-source.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { bodyOf } from "./crash-body.ts";

const [url = "", token = "", data = "", form = "", round = "", first = ""] = process.argv.slice(2);
const store = new DocStore({ data, form: form as DekForm, client: new KeysteadClient({ url, token }) });
// Several writers at once, so that the kill meets writes in all of their stages.
const write = async (lane: number): Promise<never> => {
  for (let serial = Number(first) + 1; ; serial++) {
    const id = `d${lane}-${serial % 5}`;
    await store.put("crash", "c", id, bodyOf(id, serial));
    process.stdout.write(`${id} ${serial}\n`);
    if (lane === 0 && serial % 10 === 0 && Number(round) % 2 === 1) {
      // The wrapped form makes a new key by itself; the other one has none to take up.
      await store.advanceKey("crash");
      await store.reencrypt("crash");
    }
  }
};
await Promise.all([0, 1, 2, 3].map(write));
