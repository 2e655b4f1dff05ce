/**
 * Go KMS's way in: an administrator makes a signup token, a client signs up with it and a password, and logs in.
 * Invariant: of who is not there and who gave a wrong password the same is said.
 */
import { z } from "zod";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import { clientInvite, clientLogin, clientRedeem } from "../../service/client-operations.ts";
import { hasThreeKinds } from "./password-rule.ts";

const TTL_MS_MAX = 30 * 24 * 3600_000;
const TTL_MS_DEFAULT = 24 * 3600_000;
/** Before the service counts characters: enough for 128 of any kind. */
const PASSWORD_UNITS_MAX = 1024;
const TOKEN_CHARACTERS_MAX = 4096;

const clientname = z
  .string()
  .regex(/^[a-zA-Z0-9-]{4,64}$/, "Should be 4 to 64 letters, digits and hyphens")
  .meta({ examples: ["billing"] });
const token = z.strictObject({ token: z.string() });

export const authRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: "/auth/signup/generate",
    summary: "Make a signup token: with it one client of this name can sign up, once",
    operation: clientInvite,
    status: 200,
    body: z.strictObject({
      clientname,
      ttl: z
        .int()
        .min(1)
        .max(TTL_MS_MAX)
        .optional()
        .meta({ description: "Milliseconds; a day unless given" }),
    }),
    response: token,
    async serve(call, { body }) {
      const ttlSeconds = Math.ceil((body.ttl ?? TTL_MS_DEFAULT) / 1000);
      const made = await call.perform(clientInvite, { clientName: body.clientname, ttlSeconds });
      return { token: made.token };
    },
  }),
  facadeRoute({
    method: "POST",
    path: "/auth/signup",
    summary: "Sign up with a signup token and a password",
    operation: clientRedeem,
    open: true,
    status: 200,
    body: z.strictObject({
      token: z.string().min(1).max(TOKEN_CHARACTERS_MAX),
      password: z
        .string()
        .max(PASSWORD_UNITS_MAX)
        .refine(hasThreeKinds, "Should be 12 to 128 characters of three of: upper, lower, digit, symbol"),
    }),
    response: token,
    async serve(call, { body }) {
      return { token: (await call.perform(clientRedeem, body)).token };
    },
  }),
  facadeRoute({
    method: "POST",
    path: "/auth/login",
    summary: "Log in; the answer says how many milliseconds the token lasts",
    operation: clientLogin,
    open: true,
    status: 200,
    // A name that no client can have looks like any other that is not there.
    body: z.strictObject({ clientname: z.string().max(256), password: z.string().max(PASSWORD_UNITS_MAX) }),
    response: z.strictObject({ token: z.string(), ttl: z.int() }),
    async serve(call, { body }) {
      const input = { clientName: body.clientname, password: body.password };
      const login = await call.perform(clientLogin, input);
      return { token: login.token, ttl: login.ttlMs };
    },
  }),
];
