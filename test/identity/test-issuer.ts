/** An issuer for tests: a real server with a configuration and keys, and tokens signed by them or by others. */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import type { CertificateFiles } from "../certificates.ts";

export interface SigningKey {
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

/** Makes a key pair; `kid` undefined leaves it unnamed. */
export async function makeSigningKey(algorithm: string, kid?: string): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), use: "sig", ...(kid === undefined ? {} : { kid }) };
  return { algorithm, kid, privateKey, jwk };
}

export interface TestIssuer extends AsyncDisposable {
  /** Its `iss`. */
  readonly url: string;
  /** What it publishes; may be changed. */
  keys: readonly unknown[];
  /** Takes the place of an answer. */
  answer: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** The paths that were asked for. */
  readonly asked: string[];
  close(): Promise<void>;
}

export async function startIssuer(
  keys: readonly SigningKey[],
  certificate?: CertificateFiles,
): Promise<TestIssuer> {
  const asked: string[] = [];
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(request.url ?? "");
    if (issuer.answer !== undefined) {
      issuer.answer(request, response);
      return;
    }
    const documents: Record<string, unknown> = {
      "/.well-known/openid-configuration": { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` },
      "/keys": { keys: issuer.keys },
    };
    const document = documents[request.url ?? ""];
    response.writeHead(document === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(document ?? {}));
  };
  const server =
    certificate === undefined
      ? createServer(handle)
      : createTlsServer(
          { cert: readFileSync(certificate.certFile), key: readFileSync(certificate.keyFile) },
          handle,
        );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const issuer: TestIssuer = {
    url: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    keys: keys.map(({ jwk }) => jwk),
    answer: undefined,
    asked,
    close,
    [Symbol.asyncDispose]: close,
  };
  return issuer;
}

/** Signs claims; what is undefined is left out, and good times are put in where none are given. */
export function signToken(
  key: SigningKey,
  claims: Readonly<Record<string, unknown>>,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const all: Record<string, unknown> = {
    iat: now,
    exp: now + 600,
    aud: "keystead",
    sub: "somebody",
    ...claims,
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  return new SignJWT(given)
    .setProtectedHeader({
      alg: key.algorithm,
      ...(key.kid === undefined ? {} : { kid: key.kid }),
      typ: "JWT",
      ...header,
    })
    .sign(key.privateKey);
}

/** A token put together by hand, with whatever signature. */
export function compact(header: object, claims: object, signature: Uint8Array): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part(header)}.${part(claims)}.${Buffer.from(signature).toString("base64url")}`;
}
