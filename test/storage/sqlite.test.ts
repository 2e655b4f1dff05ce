import { join } from "node:path";
import { openSqlite } from "../../src/storage/sqlite.ts";
import { temporaryFolder } from "../harness.ts";
import { storeContract } from "./store-contract.ts";

storeContract("SQLite", () =>
  openSqlite(join(temporaryFolder(), "store.db"), (error) => {
    throw error;
  }),
);
