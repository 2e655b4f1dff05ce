/** Go KMS's contract, on the store that the service has unless told otherwise. */
import { goKmsContract } from "./go-kms-contract.ts";
import { startServer } from "../harness.ts";

goKmsContract("SQLite", startServer);
