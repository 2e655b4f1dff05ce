/** The facade `auto-kms`: key resources under /kms, as Auto KMS has them. */
import { z } from "zod";
import { facadeRoute, type Facade } from "../../http/facade/facade.ts";
import { cipherRoutes } from "./cipher-routes.ts";
import { autoKmsExamples } from "./examples.ts";
import { keyRoutes } from "./key-routes.ts";
import { autoKmsRefusal, refusalAnswer } from "./refusal.ts";
import { versionRoutes } from "./version-routes.ts";

export const autoKms: Facade = {
  name: "auto-kms",
  title: "Auto KMS",
  description: "The API of Auto KMS: key resources, encryption and wrapping with the tag apart.",
  owns: ["/system/", "/kms/"],
  takesProject: true,
  examples: autoKmsExamples,
  errors: { contentType: "application/json", schema: refusalAnswer },
  routes: [
    facadeRoute({
      method: "GET",
      path: "/system/healthz",
      summary: "Whether the service answers",
      operation: undefined,
      open: true,
      status: 200,
      response: z.strictObject({ ok: z.literal(true) }),
      serve: () => Promise.resolve({ ok: true }),
    }),
    ...keyRoutes,
    ...cipherRoutes,
    ...versionRoutes,
  ],
  refusal: autoKmsRefusal,
};
