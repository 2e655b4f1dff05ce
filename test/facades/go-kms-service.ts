/** A service with Go KMS's API on, and what its clients do first. */
import assert from "node:assert/strict";
import type { Answer, RequestOptions, TestService } from "../harness.ts";

export const PASSWORD = "Correct-horse-9";

/** A client that has signed up. */
export interface SignedUp {
  readonly name: string;
  readonly token: string;
}

export class GoKmsService {
  readonly service: TestService;
  readonly #admin: string;
  #last = 0;

  private constructor(service: TestService, admin: string) {
    this.service = service;
    this.#admin = admin;
  }

  /** @param service one with `go-kms` on */
  static async of(service: TestService): Promise<GoKmsService> {
    return new GoKmsService(service, await service.token("admin", { project: "*" }));
  }

  get admin(): string {
    return this.#admin;
  }

  /** A name that nobody else has. */
  fresh(): string {
    return `name-${++this.#last}`;
  }

  ask(method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer> {
    return this.service.request(method, path, body, options);
  }

  async signupToken(clientname: string, ttl?: number): Promise<string> {
    const body = ttl === undefined ? { clientname } : { clientname, ttl };
    const answer = await this.ask("POST", "/auth/signup/generate", body, { token: this.#admin });
    assert.equal(answer.status, 200, answer.text);
    return String(answer.json["token"]);
  }

  async client(name = this.fresh()): Promise<SignedUp> {
    const token = await this.signupToken(name);
    const answer = await this.ask("POST", "/auth/signup", { token, password: PASSWORD });
    assert.equal(answer.status, 200, answer.text);
    return { name, token: String(answer.json["token"]) };
  }

  login(clientname: string, password = PASSWORD): Promise<Answer> {
    return this.ask("POST", "/auth/login", { clientname, password });
  }

  /** The number of a client in the administrators' routes. */
  async numberOf(name: string): Promise<number> {
    const { json } = await this.ask("GET", "/clients", undefined, { token: this.#admin });
    const found = (json as unknown as { id: number; clientname: string }[]).find(
      ({ clientname }) => clientname === name,
    );
    assert.ok(found, `no client ${name}`);
    return found.id;
  }

  generate({ token }: SignedUp, keyReference: string): Promise<Answer> {
    return this.ask("POST", "/keys/actions/generate", { keyReference }, { token });
  }

  get({ token }: SignedUp, reference: string, version?: number | string): Promise<Answer> {
    const path = version === undefined ? `/keys/${reference}` : `/keys/${reference}/${version}`;
    return this.ask("GET", path, undefined, { token });
  }

  rotate({ token }: SignedUp, reference: string): Promise<Answer> {
    return this.ask("POST", `/keys/${reference}/actions/rotate`, undefined, { token });
  }

  delete({ token }: SignedUp, reference: string): Promise<Answer> {
    return this.ask("DELETE", `/keys/${reference}/actions/delete`, undefined, { token });
  }
}
