/** For each operation of the native API a call that succeeds: what has to be there first, and what is sent. */
import type { AnyNativeRoute } from "../../src/http/native/native-route.ts";
import type { Answer, TestService } from "../harness.ts";

export interface SampleCall {
  readonly params?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Instead of the administrator's. */
  readonly token?: string;
}

export interface SampleRun {
  readonly admin: string;
  readonly exporter: string;
  /** A name that no other call has. */
  fresh(): string;
  /** Makes something that the call needs. */
  make(method: string, path: string, body?: unknown, token?: string): Promise<Answer["json"]>;
  send(route: AnyNativeRoute, call: SampleCall, headers?: Record<string, string>): Promise<Answer>;
}

/** Makes the callers of the samples, whose things belong to a project. */
export async function prepareSamples(service: TestService, project = "default"): Promise<SampleRun> {
  let last = 0;
  const admin = await service.token("admin", { project: "*" });
  return {
    admin,
    exporter: await service.token("exporter", { kind: "service", project }),
    fresh: () => `sample-${++last}`,
    async make(method, path, body, token = admin) {
      const answer = await service.request(method, path, body, { token, project });
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`);
      return answer.json;
    },
    send(route, { params = {}, body, token = admin }, headers = {}) {
      const path = route.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => params[name] ?? "");
      return service.request(route.method, path, body, { token, project, headers });
    },
  };
}

async function someKey(run: SampleRun, body: object = {}, token?: string): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/keys", { name, ...body }, token);
  return { name };
}

async function someSecret(run: SampleRun): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/secrets", { name, value: "x" });
  return { name };
}

async function someAccount(run: SampleRun): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/accounts", { name, kind: "service" });
  return { name };
}

async function someProject(run: SampleRun): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/projects", { name });
  return { name };
}

async function someRole(run: SampleRun): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/roles", { name, statements: allowEncrypt });
  return { name };
}

async function someIssuer(run: SampleRun): Promise<{ name: string }> {
  const name = run.fresh();
  await run.make("POST", "/v1/issuers", issuerBody(name));
  return { name };
}

const allowEncrypt = [{ effect: "allow", scopes: ["kms:encrypt"] }];

function issuerBody(name: string): object {
  return { name, issuer: `https://${name}.example.com`, audiences: ["keystead"], rules: [] };
}

async function someCiphertext(run: SampleRun, name: string): Promise<unknown> {
  return (await run.make("POST", `/v1/encrypt/${name}`, { plaintext: "x" }))["ciphertext"];
}

const PASSWORD = "correct horse battery";

function someSignup(run: SampleRun): Promise<Answer["json"]> {
  return run.make("POST", "/v1/signups", { name: run.fresh(), kind: "service" });
}

async function someLogin(run: SampleRun): Promise<Answer["json"]> {
  const { token } = await someSignup(run);
  return run.make("POST", "/v1/signup", { token, password: PASSWORD });
}

const reader = { role: "reader", project: "default" };

/** By the operation's id. */
export const sampleCalls: Readonly<Record<string, (run: SampleRun) => SampleCall | Promise<SampleCall>>> = {
  "key.create": (run) => ({ body: { name: run.fresh() } }),
  "key.import": (run) => ({
    params: { name: run.fresh() },
    body: { type: "aes-256", format: "raw", material_b64: Buffer.alloc(32, 7).toString("base64") },
  }),
  "key.list": () => ({}),
  "key.get": async (run) => ({ params: await someKey(run) }),
  "key.rotate": async (run) => ({ params: await someKey(run), body: {} }),
  "key.revoke": async (run) => ({ params: await someKey(run), body: {} }),
  "key.encrypt": async (run) => ({ params: await someKey(run), body: { plaintext: "x" } }),
  async "key.decrypt"(run) {
    const params = await someKey(run);
    const { ciphertext } = await run.make("POST", `/v1/encrypt/${params.name}`, { plaintext: "x" });
    return { params, body: { ciphertext } };
  },
  "key.sign": async (run) => ({ params: await someKey(run, { type: "ecdsa-p256" }), body: { message: "x" } }),
  async "key.verify"(run) {
    const params = await someKey(run, { type: "ecdsa-p256" });
    const { signature_b64 } = await run.make("POST", `/v1/keys/${params.name}/sign`, { message: "x" });
    return { params, body: { message: "x", signature_b64 } };
  },
  "key.export": async (run) => ({ params: await someKey(run, {}, run.exporter), token: run.exporter }),
  "key.public": async (run) => ({ params: await someKey(run, { type: "ed25519" }) }),
  "key.update": async (run) => ({ params: await someKey(run), body: { description: "x" } }),
  "key.disable": async (run) => ({ params: await someKey(run), body: {} }),
  async "key.enable"(run) {
    const params = await someKey(run);
    await run.make("POST", `/v1/keys/${params.name}/disable`, {});
    return { params, body: {} };
  },
  "key.schedule_deletion": async (run) => ({ params: await someKey(run), body: { days: 7 } }),
  async "key.cancel_deletion"(run) {
    const params = await someKey(run);
    await run.make("POST", `/v1/keys/${params.name}/schedule-deletion`, {});
    return { params, body: {} };
  },
  async "key.reencrypt"(run) {
    const params = await someKey(run);
    return { params, body: { ciphertext: await someCiphertext(run, params.name) } };
  },
  "key.generate_data_key": async (run) => ({ params: await someKey(run), body: { bytes: 16 } }),
  "key.mac": async (run) => ({ params: await someKey(run, { type: "hmac-256" }), body: { message: "x" } }),
  async "key.verify_mac"(run) {
    const params = await someKey(run, { type: "hmac-256" });
    const { mac_b64 } = await run.make("POST", `/v1/keys/${params.name}/mac`, { message: "x" });
    return { params, body: { message: "x", mac_b64 } };
  },
  "key.encapsulate": async (run) => ({ params: await someKey(run, { type: "ml-kem-768" }), body: {} }),
  async "key.decapsulate"(run) {
    const params = await someKey(run, { type: "ml-kem-768" });
    const { ciphertext } = await run.make("POST", `/v1/keys/${params.name}/encapsulate`, {});
    return { params, body: { ciphertext } };
  },
  "key.agree": async (run) => ({
    params: await someKey(run, { type: "x25519" }),
    body: { peer_public_key_b64: Buffer.alloc(32, 9).toString("base64") },
  }),
  "key.encrypt_batch": async (run) => ({
    params: await someKey(run),
    body: { items: [{ plaintext: "x" }, { plaintext: "y" }] },
  }),
  async "key.decrypt_batch"(run) {
    const params = await someKey(run);
    return { params, body: { items: [{ ciphertext: await someCiphertext(run, params.name) }] } };
  },
  async "key.reencrypt_batch"(run) {
    const params = await someKey(run);
    return { params, body: { items: [{ ciphertext: await someCiphertext(run, params.name) }] } };
  },
  "key.sign_batch": async (run) => ({
    params: await someKey(run, { type: "ed25519" }),
    body: { items: [{ message: "x" }] },
  }),
  async "key.verify_batch"(run) {
    const params = await someKey(run, { type: "ed25519" });
    const { signature_b64 } = await run.make("POST", `/v1/keys/${params.name}/sign`, { message: "x" });
    return { params, body: { items: [{ message: "x", signature_b64 }] } };
  },
  "key.mac_batch": async (run) => ({
    params: await someKey(run, { type: "hmac-256" }),
    body: { items: [{ message: "x" }] },
  }),
  async "key.verify_mac_batch"(run) {
    const params = await someKey(run, { type: "hmac-256" });
    const { mac_b64 } = await run.make("POST", `/v1/keys/${params.name}/mac`, { message: "x" });
    return { params, body: { items: [{ message: "x", mac_b64 }] } };
  },
  "random.generate": () => ({ body: { bytes: 16 } }),
  "secret.put": (run) => ({ body: { name: run.fresh(), value: "x" } }),
  "secret.get": async (run) => ({ params: await someSecret(run) }),
  "secret.list": () => ({}),
  "secret.delete": async (run) => ({ params: await someSecret(run) }),
  "project.create": (run) => ({ body: { name: run.fresh() } }),
  "project.list": () => ({}),
  "project.schedule_deletion": async (run) => ({ params: await someProject(run), body: { days: 7 } }),
  async "project.cancel_deletion"(run) {
    const params = await someProject(run);
    await run.make("POST", `/v1/projects/${params.name}/schedule-deletion`, {});
    return { params, body: {} };
  },
  "account.create": (run) => ({ body: { name: run.fresh(), kind: "service" } }),
  "account.list": () => ({}),
  "account.get": async (run) => ({ params: await someAccount(run) }),
  "account.bind": async (run) => ({ params: await someAccount(run), body: reader }),
  async "account.unbind"(run) {
    const { name } = await someAccount(run);
    const { bindings } = await run.make("POST", `/v1/accounts/${name}/bindings`, reader);
    return { params: { name, binding: (bindings as { id: string }[])[0]!.id } };
  },
  "token.create": async (run) => ({ params: await someAccount(run), body: {} }),
  "token.list": async (run) => ({ params: await someAccount(run) }),
  async "token.revoke"(run) {
    const { name } = await someAccount(run);
    const { id } = await run.make("POST", `/v1/accounts/${name}/tokens`, {});
    return { params: { name, token: String(id) } };
  },
  "jwt.revoke": (run) => ({ body: { sub: run.fresh(), issued_before: 1 } }),
  "caller.whoami": () => ({}),
  "account.disable": async (run) => ({ params: await someAccount(run), body: {} }),
  "account.enable": async (run) => ({ params: await someAccount(run), body: {} }),
  "account.delete": async (run) => ({ params: await someAccount(run) }),
  "password.set": async (run) => ({ params: await someAccount(run), body: { password: PASSWORD } }),
  "session.list": async (run) => ({ params: await someAccount(run) }),
  async "session.revoke"(run) {
    const { account, session } = await someLogin(run);
    return { params: { name: String(account), session: String(session) } };
  },
  async "login.create"(run) {
    const { account } = await someLogin(run);
    return { body: { account, password: PASSWORD } };
  },
  "login.refresh": async (run) => ({ body: { refresh_token: (await someLogin(run))["refresh_token"] } }),
  "login.revoke": async (run) => ({ body: {}, token: String((await someLogin(run))["token"]) }),
  "signup.create": (run) => ({ body: { name: run.fresh(), kind: "service" } }),
  "signup.list": () => ({}),
  "signup.revoke": async (run) => ({ params: { signup: String((await someSignup(run))["id"]) } }),
  "signup.redeem": async (run) => ({
    body: { token: (await someSignup(run))["token"], password: PASSWORD },
  }),
  "login_key.rotate": () => ({ body: {} }),
  "role.create": (run) => ({ body: { name: run.fresh(), statements: allowEncrypt } }),
  "role.list": () => ({}),
  "role.get": async (run) => ({ params: await someRole(run) }),
  "role.update": async (run) => ({ params: await someRole(run), body: { description: "x" } }),
  "role.delete": async (run) => ({ params: await someRole(run) }),
  "policy.explain": () => ({ body: { action: "key.encrypt", resource: "k" } }),
  "issuer.create": (run) => ({ body: issuerBody(run.fresh()) }),
  "issuer.list": () => ({}),
  "issuer.get": async (run) => ({ params: await someIssuer(run) }),
  "issuer.update": async (run) => ({ params: await someIssuer(run), body: { enabled: false } }),
  "issuer.delete": async (run) => ({ params: await someIssuer(run) }),
  "barrier.status": () => ({}),
  "barrier.rotate": () => ({ body: {} }),
};
