/**
 * The server's entry: read the settings, compose, listen, stop gracefully.
 * Invariant: nothing is opened before the umask is 077; a start that fails ends with one line and exit code 1; the first
 * SIGTERM or SIGINT stops gracefully, a second one at once; SIGHUP opens the audit log and the TLS files anew.
 */
import { compose, type Keystead } from "./compose.ts";
import { HelpAsked, readConfig } from "./config.ts";
import { devScreen, makeDevToken } from "./dev-screen.ts";
import { serverHelp } from "./server-help.ts";
import { StartRefused } from "./start-refused.ts";

process.umask(0o077);
process.on("unhandledRejection", (reason) => {
  process.stderr.write(
    `keystead: unexpected failure: ${reason instanceof Error ? (reason.stack ?? reason.message) : "unknown"}\n`,
  );
  process.exit(70);
});
void main();

async function main(): Promise<void> {
  try {
    const keystead = await compose(readConfig(process.argv.slice(2), process.env, process.cwd()));
    // All that takes time comes before the service answers: a signal may end it from then on.
    const { devMode, plainLog } = keystead.config;
    const devToken = devMode && plainLog ? await makeDevToken(keystead) : undefined;
    handleSignals(keystead);
    const listeners = await keystead.listen();
    announce(
      keystead,
      listeners.map(({ address }) => address),
      devToken,
    );
  } catch (error) {
    if (error instanceof HelpAsked) {
      process.stdout.write(serverHelp());
      process.exit(0);
    }
    const text = error instanceof StartRefused ? error.message : `could not start: ${String(error)}`;
    process.stderr.write(`keystead: ${text}\n`);
    process.exit(1);
  }
}

function announce(keystead: Keystead, addresses: readonly string[], devToken: string | undefined): void {
  const { config, log } = keystead;
  if (config.rootKeyIsWeak) {
    log.warn(
      "the root key is 32 typed characters, which are easier to guess than 32 random bytes; prefer base64: or hex",
    );
  }
  if (config.devMode && config.devAnyAddress) {
    log.warn("dev mode answers other machines without asking for credentials (KEYSTEAD_DEV_ANY_ADDRESS=1)");
  }
  if (devToken !== undefined) {
    process.stdout.write(devScreen(keystead, addresses, devToken));
  } else {
    log.info("listening", { addresses: addresses.join(" "), mode: config.devMode ? "dev" : "server" });
  }
}

function handleSignals(keystead: Keystead): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) process.exit(130);
    stopping = true;
    keystead.log.info("stopping");
    keystead.close().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGHUP", () => {
    keystead.reopenAuditLog();
    keystead.reloadTls();
  });
}
