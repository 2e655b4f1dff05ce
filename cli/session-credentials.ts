/**
 * The session of `keystead login` as a client's credentials, for commands of any length: refreshed where its token ends, or
 * was refused, whatever other commands do at the same time.
 * Invariant: the file holds the newest refresh token before anybody uses what came with it; a session that ended is
 * forgotten, and no other.
 */
import { KeysteadClient } from "../sdk/client.ts";
import type { CredentialSource } from "../sdk/credentials.ts";
import { credentialOf, isEnding, refreshed, REFRESH_TRY_MS } from "../sdk/login-credentials.ts";
import type { Login } from "../sdk/wire.ts";
import type { SessionFile } from "./session-file.ts";
import { SessionEnded } from "./session-ended.ts";

/** Undefined where there is no session at this server. */
export function sessionCredentials(
  file: SessionFile,
  connection: { readonly url: string; readonly timeoutMs: number | undefined },
): CredentialSource | undefined {
  const { url } = connection;
  if (file.get(url) === undefined) return undefined;
  const { login } = new KeysteadClient({ ...connection, tryTimeoutMs: REFRESH_TRY_MS });
  return async (refused) => {
    const isGood = (session: Login): boolean => session.token !== refused && !isEnding(session);
    const session = file.get(url);
    if (session !== undefined && isGood(session)) return credentialOf(session);
    return file.locked(async () => {
      // Another command may have been here meanwhile.
      const current = file.get(url);
      if (current === undefined) throw new SessionEnded();
      if (isGood(current)) return credentialOf(current);
      const next = await refreshed(login, current.refresh_token);
      // A login or logout that did not get the lock: what it left is not this session's.
      if (file.get(url)?.refresh_token === current.refresh_token) await file.set(url, next);
      if (next === undefined) throw new SessionEnded();
      return credentialOf(next);
    });
  };
}
