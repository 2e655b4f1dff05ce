/**
 * `npm run bench`: what the service costs, as ratios against a reference on the same machine in the same run.
 * Arguments: `--rounds N` (5) and `--seconds N` (5) for each measurement, `--only encrypt,batch,sign,rsa,login,local,storage,dek` for some cases.
 */
import { parseArgs } from "node:util";
import { batchCase } from "./batch-case.ts";
import { dekCase } from "./dek-case.ts";
import { encryptCase } from "./encrypt-case.ts";
import { localCase } from "./local-case.ts";
import { loginCase } from "./login-case.ts";
import { requireWrk } from "./measure.ts";
import { rsaCase } from "./rsa-case.ts";
import { signCase } from "./sign-case.ts";
import { storageCase } from "./storage-case.ts";

const cases = {
  encrypt: encryptCase,
  batch: batchCase,
  sign: signCase,
  rsa: rsaCase,
  login: loginCase,
  local: localCase,
  storage: storageCase,
  dek: dekCase,
};

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    only: { type: "string", default: Object.keys(cases).join(",") },
  },
});
const only = values.only.split(",");
if (only.some((name) => name !== "local")) requireWrk();
for (const [name, run] of Object.entries(cases)) {
  if (only.includes(name)) await run(Number(values.rounds), Number(values.seconds));
}
process.exit(0);
