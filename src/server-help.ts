/** The text of `keystead server --help`, made from the table of settings. */
import { autoKmsFlags, serverSettings, type Setting } from "./settings.ts";

export function serverHelp(): string {
  const rows = (serverSettings as readonly Setting[]).map(({ name, flag, isSwitch, help }) => {
    const shownFlag = flag === undefined ? "" : `  (--${flag}${isSwitch === true ? "" : " VALUE"})`;
    return `  ${name}${shownFlag}\n      ${help}`;
  });
  const alsoTaken = Object.entries(autoKmsFlags).map(([flag, help]) => `  --${flag}\n      ${help}`);
  return `Usage: keystead server [--dev] [flags]

Serves the API. With --dev it needs no settings at all:

  keystead server --dev

To keep data, set a root key and a data path, and make the first account:

  export KEYSTEAD_ROOT_KEY=$(openssl rand -hex 32)     # keep it: nothing opens without it
  export KEYSTEAD_DATA_PATH=/var/lib/keystead
  keystead init                                        # prints the first admin token, once
  keystead server

Settings come from a file (.env in the working directory, or --config), from the environment, and from flags;
the later win over the earlier. A secret has no flag: use the environment, or a file named by <NAME>_FILE.

${rows.join("\n")}

Flags of Auto KMS that are taken as well:

${alsoTaken.join("\n")}

Signals: SIGTERM and SIGINT stop gracefully, SIGHUP opens the audit log anew after its rotation.
`;
}
