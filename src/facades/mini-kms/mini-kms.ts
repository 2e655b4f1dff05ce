/** The facade `mini-kms`: profiles, keys, signatures and a holder's credentials, as Mini KMS has them. */
import type { Facade } from "../../http/facade/facade.ts";
import { credentialRoutes } from "./credential-routes.ts";
import { miniKmsExamples } from "./examples.ts";
import { keyRoutes } from "./key-routes.ts";
import { profileHeader } from "./profile.ts";
import { profileRoutes } from "./profile-routes.ts";
import { miniKmsRefusal, refusalAnswer } from "./refusal.ts";

export const miniKms: Facade = {
  name: "mini-kms",
  title: "Mini KMS",
  description:
    "The API of Mini KMS: keys by their JWK thumbprints, signatures, credentials; `X-Profile` says whose.",
  owns: ["/profile", "/profile/", "/profiles", "/key", "/key/", "/keys", "/sign", "/vc-holder/"],
  headers: [profileHeader],
  examples: miniKmsExamples,
  errors: { contentType: "application/problem+json", schema: refusalAnswer },
  routes: [...profileRoutes, ...keyRoutes, ...credentialRoutes],
  refusal: miniKmsRefusal,
};
