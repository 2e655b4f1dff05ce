/**
 * Credentials that log in with a password and refresh by themselves.
 * Invariant: one request is under way at a time, whoever waits for it; a refresh token is sent once, but for lost answers;
 * the password is sent only where there is no session to go on with, and goes into no error.
 */
import { KeysteadApiError } from "./api-error.ts";
import type { Credential, CredentialSource } from "./credentials.ts";
import { LoginApi } from "./login-api.ts";
import { Transport, type ClientOptions } from "./transport.ts";
import type { Login } from "./wire.ts";

/** A token this much before its end is not used any more. */
const RENEW_BEFORE_MS = 30_000;
/**
 * How long one try of a refresh may take: the service answers a refresh token that was used for ten seconds more, in which
 * a lost answer has to be missed and asked for again.
 */
export const REFRESH_TRY_MS = 3000;

export interface LoginCredentialsOptions extends Pick<ClientOptions, "url" | "timeoutMs"> {
  readonly account: string;
  /** Asked for when a login needs it, and not kept. */
  readonly password: string | (() => string | Promise<string>);
}

/**
 * A client's `token` for an account with a password: logs in when it is first asked for, refreshes shortly before the token
 * ends or when the service refused it, and logs in again where the session has ended. Several clients may share one.
 */
export function loginCredentials(options: LoginCredentialsOptions): CredentialSource {
  const { url, timeoutMs } = options;
  const logins = new LoginApi(new Transport({ url, timeoutMs }));
  const refreshes = new LoginApi(new Transport({ url, timeoutMs, tryTimeoutMs: REFRESH_TRY_MS }));
  let login: Login | undefined;
  let asking: Promise<Login> | undefined;
  const fresh = async (): Promise<Login> => {
    const next = login === undefined ? undefined : await refreshed(refreshes, login.refresh_token);
    if (next !== undefined) return next;
    login = undefined;
    const { account, password } = options;
    const given = typeof password === "string" ? password : await password();
    return answered(() => logins.create(account, given));
  };
  return async (refused) => {
    if (login === undefined || isEnding(login) || login.token === refused) {
      asking ??= fresh().finally(() => (asking = undefined));
      login = await asking;
    }
    return credentialOf(login);
  };
}

/**
 * The next login for a refresh token; undefined where its session has ended.
 * @param api of a transport whose tries take no longer than `REFRESH_TRY_MS`
 */
export async function refreshed(api: LoginApi, refreshToken: string): Promise<Login | undefined> {
  try {
    return await answered(() => api.refresh(refreshToken));
  } catch (error) {
    if (error instanceof KeysteadApiError && error.status === 401) return undefined;
    throw error;
  }
}

/** Whether a login's token is to be renewed before it is used. */
export function isEnding({ expires_at }: Pick<Login, "expires_at">): boolean {
  return Date.parse(expires_at) - Date.now() < RENEW_BEFORE_MS;
}

/** A login as a client sends it. */
export function credentialOf({ token, expires_at }: Login): Credential {
  return { token, expiresAt: Date.parse(expires_at) };
}

/** An answer that got lost, and is not told twice, is asked for anew: as another call, which has a key of its own. */
async function answered(call: () => Promise<Login>): Promise<Login> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof KeysteadApiError && error.code === "idempotency_secret") return call();
    throw error;
  }
}
