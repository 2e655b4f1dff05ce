/** Go KMS's contract, on both stores. */
import { goKmsContract } from "./go-kms-contract.ts";
import { forEachStore } from "../harness.ts";

forEachStore(({ store, startServer }) => {
  goKmsContract(store, startServer);
}, true);
