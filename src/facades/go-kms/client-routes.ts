/**
 * Go KMS's clients, for administrators: see them, change their role, remove them.
 * Invariant: nothing that somebody could log in with is in any answer.
 */
import { z } from "zod";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import { clientDelete, clientList, clientSetRole } from "../../service/client-operations.ts";

const params = z.strictObject({
  id: z
    .string()
    .regex(/^-?[0-9]{1,15}$/, "ID must be integer")
    .transform(Number),
});
const role = z.enum(["client", "admin"]);
const shown = z.strictObject({ id: z.int(), clientname: z.string(), role, createdAt: z.string() });

export const clientRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "GET",
    path: "/clients",
    alsoAt: ["/clients/"],
    summary: "List the clients",
    operation: clientList,
    status: 200,
    response: z.array(shown),
    async serve(call) {
      const clients = await call.perform(clientList, {});
      return clients.map(({ client, role: has }) => ({
        id: client.number,
        clientname: client.name,
        role: has,
        createdAt: client.createdAt,
      }));
    },
  }),
  facadeRoute({
    method: "POST",
    path: "/clients/{id}/role",
    summary: "Make a client an administrator of clients, or one no more",
    operation: clientSetRole,
    status: 204,
    params,
    body: z.strictObject({ role }),
    serve: (call, { params: { id }, body }) => call.perform(clientSetRole, { number: id, role: body.role }),
  }),
  facadeRoute({
    method: "DELETE",
    path: "/clients/{id}",
    summary: "Remove a client: its account at once, its keys in 30 days",
    operation: clientDelete,
    status: 204,
    params,
    serve: (call, { params: { id } }) => call.perform(clientDelete, { number: id }),
  }),
];
