/**
 * Values to start from, for whoever tries the API in a browser: by operation, what to put into path and body.
 * Invariant: done in the order of this table in dev mode, each works as it stands; those with `needs` work once the value
 * of an earlier answer stands in the place of the text in brackets.
 */
export interface Example {
  readonly params?: Readonly<Record<string, string>>;
  /** Absent where the operation has no body. */
  readonly body?: unknown;
  /** Other bodies worth showing, by what they are for. */
  readonly otherBodies?: Readonly<Record<string, unknown>>;
  /** The field of the body that takes a value of an earlier answer, or what has to be there that no call here makes. */
  readonly needs?: string;
}

const cipher = { name: "orders" };
const signer = { name: "invoices" };
const tagger = { name: "cookies" };
const kem = { name: "handshakes" };
const account = { name: "billing" };
const message = { message: "hello" };
const from = (what: string): string => `[${what} of an earlier answer]`;
const material = Buffer.from("an example of 32 bytes, no secret").subarray(0, 32).toString("base64");

export const examples: Readonly<Record<string, Example>> = {
  "key.create": {
    body: { name: "orders", type: "aes-256" },
    otherBodies: {
      "to sign": { name: "invoices", type: "ed25519" },
      "to authenticate": { name: "cookies", type: "hmac-256" },
      "to agree on secrets": { name: "handshakes", type: "ml-kem-768" },
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
  "account.create": { body: { name: "billing", kind: "service" } },
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
};
