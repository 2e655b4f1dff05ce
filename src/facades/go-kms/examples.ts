/** Values to start from with Go KMS's API, by row. All of them want a token: an administrator's, then the client's own. */
import { fromEarlier as from, type RouteExample } from "../../http/route-example.ts";

const admin = "an administrator's token";
const client = "the client's token";
const password = "Correct-horse-7";
const reference = { keyReference: "orders" };

export const goKmsExamples: Readonly<Record<string, RouteExample>> = {
  "POST /auth/signup/generate": { body: { clientname: "billing", ttl: 3_600_000 }, needs: admin },
  "POST /auth/signup": { body: { token: from("token"), password }, needs: "a signup token" },
  "POST /auth/login": { body: { clientname: "billing", password }, needs: "a client that signed up" },
  "POST /keys/actions/generate": { body: reference, needs: client },
  "GET /keys/{keyReference}/{version}": { params: { ...reference, version: "1" }, needs: client },
  "GET /keys/{keyReference}": { params: reference, needs: client },
  "POST /keys/{keyReference}/actions/rotate": { params: reference, needs: client },
  "DELETE /keys/{keyReference}/actions/delete": { params: reference, needs: client },
  "POST /clients/{id}/role": { params: { id: "1" }, body: { role: "admin" }, needs: admin },
  "DELETE /clients/{id}": { params: { id: "1" }, needs: admin },
};
