/** Values to start from with Mini KMS's API, by row, in an order in which each works once earlier answers stand in it. */
import { fromEarlier as from, type RouteExample } from "../../http/route-example.ts";

const kid = { params: { kid: from("kid") }, needs: "kid" };
const record = { params: { record_id: from("record_id") }, needs: "record_id" };
const issuer = "did:example:issuer";

export const miniKmsExamples: Readonly<Record<string, RouteExample>> = {
  "POST /key/generate": {
    body: { alg: "Ed25519" },
    otherBodies: { symmetric: { alg: "a256gcm" }, "P-256": { alg: "p256" } },
  },
  "GET /key/{kid}": kid,
  "POST /key/{kid}/associate": { ...kid, body: { alias: "did:example:1234#key-1" } },
  "POST /sign": { body: { kid: from("kid"), data: "aGVsbG8" }, needs: "kid" },
  "POST /vc-holder/store": {
    body: {
      contexts: ["https://www.w3.org/ns/credentials/v2"],
      expanded_types: ["https://www.w3.org/2018/credentials#VerifiableCredential"],
      issuer_id: issuer,
      subject_ids: ["did:example:holder"],
      schema_ids: [],
      proof_types: ["Ed25519Signature2020"],
      cred_value: { issuer, credentialSubject: { id: "did:example:holder", degree: "BSc" } },
      given_id: "degree-1",
      cred_tags: { level: "bachelor" },
    },
  },
  "GET /vc-holder/credential/record/{record_id}": record,
  "GET /vc-holder/credential/given/{given_id}": { params: { given_id: "degree-1" } },
  "POST /vc-holder/credentials": {
    body: { issuer_id: issuer },
    otherBodies: { "by a tag": { tag_query: { level: "bachelor" } } },
  },
  "DELETE /vc-holder/credential/record/{record_id}": record,
  "DELETE /key/{kid}": kid,
  "POST /profile": { body: { name: "tenant-1" } },
  "DELETE /profile/{name}": { params: { name: "tenant-1" } },
};
