/**
 * Values to start from with Auto KMS's API, by row, in an order in which each works once the values of earlier answers
 * stand where they belong.
 */
import { Buffer } from "node:buffer";
import { fromEarlier as from, type RouteExample } from "../../http/route-example.ts";

const member = { id: from("id") };
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const key = { params: member, needs: "id" };
const aad = { aad_b64: base64("order 17") };

export const autoKmsExamples: Readonly<Record<string, RouteExample>> = {
  "POST /kms/Key": {
    body: { name: "demo", algorithm: "AES256_GCM" },
    otherBodies: {
      "several at once": [
        { name: "demo-2", algorithm: "CHACHA20_POLY1305" },
        { name: "demo-3", algorithm: "RSA2048", status: "disabled" },
      ],
      "to delete": { name: "demo-4", algorithm: "AES256_GCM" },
    },
  },
  "GET /kms/Key/{id}": key,
  "POST /kms/Key/{id}/encrypt": {
    ...key,
    body: { plaintext_b64: base64("hello") },
    otherBodies: { "with context": { plaintext_b64: base64("hello"), ...aad } },
  },
  "POST /kms/Key/{id}/decrypt": {
    ...key,
    body: {
      ciphertext_b64: from("ciphertext_b64"),
      nonce_b64: from("nonce_b64"),
      tag_b64: from("tag_b64"),
      aad_b64: from("aad_b64"),
    },
  },
  "POST /kms/Key/{id}/wrap": {
    ...key,
    body: { key_material_b64: base64("an example of 32 bytes, no secret".slice(0, 32)) },
  },
  "POST /kms/Key/{id}/unwrap": {
    ...key,
    body: {
      wrapped_key_b64: from("wrapped_key_b64"),
      nonce_b64: from("nonce_b64"),
      tag_b64: from("tag_b64"),
    },
  },
  "POST /kms/Key/{id}/rotate": key,
  "PATCH /kms/Key/{id}": { ...key, body: { name: "demo-renamed" } },
  "PUT /kms/Key/{id}": { ...key, body: { name: "demo-replaced", status: "enabled" } },
  "PATCH /kms/Key": { body: [{ id: from("id"), name: "demo-6" }], needs: "id" },
  "PUT /kms/Key": { body: [{ id: from("id"), name: "demo-7", status: "enabled" }], needs: "id" },
  "POST /kms/key_version": { body: { key_id: from("kid"), version: 3 }, needs: "key_id" },
  "GET /kms/key_version/{id}": key,
  "PATCH /kms/key_version/{id}": { ...key, body: { status: "active" } },
  "PUT /kms/key_version/{id}": { ...key, body: { key_id: from("kid"), version: 3, status: "active" } },
  "PATCH /kms/key_version": { body: [{ id: from("id"), status: "active" }], needs: "id" },
  "PUT /kms/key_version": {
    body: [{ id: from("id"), key_id: from("kid"), version: 3, status: "active" }],
    needs: "id",
  },
  "DELETE /kms/key_version/{id}": { params: member, needs: "the id of an older version" },
  "DELETE /kms/key_version": { body: [from("id")], needs: "the ids of older versions" },
  "DELETE /kms/Key/{id}": key,
  "DELETE /kms/Key": { body: [from("id")], needs: "id" },
};
