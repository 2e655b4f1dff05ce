/**
 * Values to start from, for whoever tries the API in a browser: by operation, what to put into path and body.
 * Invariant: done in the order of this table in dev mode, each works as it stands; those with `needs` work once the value
 * of an earlier answer stands in the place of the text in brackets.
 */
import { fromEarlier as from, type RouteExample } from "../route-example.ts";

const cipher = { name: "orders" };
const signer = { name: "invoices" };
const tagger = { name: "cookies" };
const kem = { name: "handshakes" };
const agreement = { name: "meetings" };
const account = { name: "billing" };
const person = { name: "alice" };
const password = "an example of a long password";
const role = { name: "card-clerk" };
const issuer = { name: "github" };
const message = { message: "hello" };
/** The public key of RFC 7748 §6.1, for want of a peer. */
const peer = Buffer.from("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", "hex");
const material = Buffer.from("an example of 32 bytes, no secret").subarray(0, 32).toString("base64");

export const examples: Readonly<Record<string, RouteExample>> = {
  "key.create": {
    body: { name: "orders", type: "aes-256" },
    otherBodies: {
      "to sign": { name: "invoices", type: "ed25519" },
      "to authenticate": { name: "cookies", type: "hmac-256" },
      "to send secrets": { name: "handshakes", type: "ml-kem-768" },
      "to agree on secrets": { name: "meetings", type: "x25519" },
      "to rotate by itself": { name: "sessions", type: "aes-256", rotation_period_days: 30 },
    },
  },
  "key.import": {
    params: { name: "brought-along" },
    body: { type: "aes-256", format: "raw", material_b64: material, exportable: true },
  },
  "key.get": { params: cipher },
  "key.update": { params: cipher, body: { description: "encrypts orders", labels: { team: "shop" } } },
  "key.rotate": { params: cipher, body: {} },
  "key.disable": { params: cipher, body: {} },
  "key.enable": { params: cipher, body: {} },
  "key.public": { params: signer },
  "key.export": { params: { name: "brought-along" }, body: { format: "raw" }, needs: "an API token" },
  "key.encrypt": {
    params: cipher,
    body: { plaintext: "hello" },
    otherBodies: { "with context": { plaintext: "hello", aad: "order 17" } },
  },
  "key.decrypt": { params: cipher, body: { ciphertext: from("ciphertext") }, needs: "ciphertext" },
  "key.reencrypt": { params: cipher, body: { ciphertext: from("ciphertext") }, needs: "ciphertext" },
  "key.generate_data_key": { params: cipher, body: { bytes: 32 } },
  "key.sign": { params: signer, body: message },
  "key.verify": {
    params: signer,
    body: { ...message, signature_b64: from("signature_b64") },
    needs: "signature_b64",
  },
  "key.mac": { params: tagger, body: message },
  "key.verify_mac": { params: tagger, body: { ...message, mac_b64: from("mac_b64") }, needs: "mac_b64" },
  "key.encapsulate": { params: kem, body: {} },
  "key.decapsulate": { params: kem, body: { ciphertext: from("ciphertext") }, needs: "ciphertext" },
  "key.agree": {
    params: agreement,
    body: { peer_public_key_b64: peer.toString("base64"), info: "orders of 2026" },
  },
  "random.generate": { body: { bytes: 32 } },
  "key.encrypt_batch": { params: cipher, body: { items: [{ plaintext: "one" }, { plaintext: "two" }] } },
  "key.decrypt_batch": {
    params: cipher,
    body: { items: [{ ciphertext: from("ciphertext") }] },
    needs: "ciphertext",
  },
  "key.reencrypt_batch": {
    params: cipher,
    body: { items: [{ ciphertext: from("ciphertext") }] },
    needs: "ciphertext",
  },
  "key.sign_batch": { params: signer, body: { items: [{ message: "one" }, { message: "two" }] } },
  "key.verify_batch": {
    params: signer,
    body: { items: [{ ...message, signature_b64: from("signature_b64") }] },
    needs: "signature_b64",
  },
  "key.mac_batch": { params: tagger, body: { items: [{ message: "one" }, { message: "two" }] } },
  "key.verify_mac_batch": {
    params: tagger,
    body: { items: [{ ...message, mac_b64: from("mac_b64") }] },
    needs: "mac_b64",
  },
  "secret.put": { body: { name: "database-password", value: "correct horse" } },
  "secret.get": { params: { name: "database-password" } },
  "secret.delete": { params: { name: "database-password" } },
  "key.revoke": { params: tagger, body: {} },
  "key.schedule_deletion": { params: kem, body: { days: 7 } },
  "key.cancel_deletion": { params: kem, body: {} },
  "project.create": { body: { name: "shop" } },
  "project.schedule_deletion": { params: { name: "shop" }, body: { days: 7 } },
  "project.cancel_deletion": { params: { name: "shop" }, body: {} },
  "account.create": {
    body: { name: "billing", kind: "service" },
    otherBodies: { "for a person": { name: "alice", kind: "person" } },
  },
  "account.get": { params: account },
  "account.bind": {
    params: account,
    body: { role: "operator", project: "default" },
    otherBodies: { "for some keys": { role: "operator", project: "default", pattern: "orders*" } },
  },
  "account.unbind": { params: { ...account, binding: from("id") }, needs: "binding" },
  "token.create": { params: account, body: { label: "first", ttl_seconds: 86_400 } },
  "token.list": { params: account },
  "token.revoke": { params: { ...account, token: from("id") }, needs: "token" },
  "jwt.revoke": { body: { sub: "alice", issued_before: 1_800_000_000 } },
  "password.set": { params: person, body: { password } },
  "login.create": { body: { account: "alice", password } },
  "login.refresh": { body: { refresh_token: from("refresh_token") }, needs: "refresh_token" },
  "login.revoke": { body: {}, needs: "the token of a login" },
  "session.list": { params: person },
  "session.revoke": { params: { ...person, session: from("id") }, needs: "session" },
  "signup.create": {
    body: {
      name: "bob",
      kind: "person",
      ttl_seconds: 86_400,
      bindings: [{ role: "operator", project: "default" }],
    },
  },
  "signup.redeem": { body: { token: from("token"), password }, needs: "token" },
  "signup.revoke": { params: { signup: from("id") }, needs: "signup" },
  "login_key.rotate": { body: {} },
  "role.create": {
    body: {
      name: "card-clerk",
      description: "Encrypts cards",
      statements: [
        { effect: "allow", scopes: ["kms:encrypt", "kms:read_key"], patterns: ["card-*"] },
        { effect: "deny", scopes: ["*"], patterns: ["card-vault"] },
      ],
    },
  },
  "role.get": { params: role },
  "role.update": { params: role, body: { description: "Encrypts cards, and sees their keys" } },
  "policy.explain": { body: { action: "key.encrypt", account: "billing", resource: "orders" } },
  "role.delete": { params: role },
  "issuer.create": {
    body: {
      name: "github",
      issuer: "https://token.actions.githubusercontent.com",
      audiences: ["https://kms.example.com"],
      rules: [
        {
          when: [{ claim: "sub", equals: "repo:acme/api:ref:refs/heads/main" }],
          bindings: [{ role: "operator", project: "default", pattern: "release-*" }],
        },
      ],
    },
  },
  "issuer.get": { params: issuer },
  "issuer.update": { params: issuer, body: { enabled: false } },
  "issuer.delete": { params: issuer },
  "barrier.rotate": { body: {} },
  "account.disable": { params: person, body: {} },
  "account.enable": { params: person, body: {} },
  "account.delete": { params: person },
};
