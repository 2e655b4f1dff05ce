/** The facade `go-kms`: clients that sign themselves up, and the data encryption keys that each of them has to itself. */
import type { Facade } from "../../http/facade/facade.ts";
import { authRoutes } from "./auth-routes.ts";
import { clientRoutes } from "./client-routes.ts";
import { goKmsExamples } from "./examples.ts";
import { keyRoutes } from "./key-routes.ts";
import { goKmsRefusal } from "./refusal.ts";

export const goKms: Facade = {
  name: "go-kms",
  title: "Go KMS",
  description:
    "The API of Go KMS: clients with signup tokens and passwords, and data encryption keys for each.",
  needsCredentials: true,
  owns: ["/auth/", "/keys/", "/clients", "/clients/"],
  examples: goKmsExamples,
  errors: { contentType: "text/plain" },
  routes: [...authRoutes, ...keyRoutes, ...clientRoutes],
  refusal: goKmsRefusal,
};
