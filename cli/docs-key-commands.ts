/** `keystead docs rotate` and `reencrypt`: a project's documents under a new key, while they are used. */
import type { Command } from "commander";
import { dekSource } from "../docstore/dek-source.ts";
import { foldProject } from "../docstore/document-name.ts";
import type { CommandContext } from "./command-context.ts";
import { openStore, withStoreFlags, type StoreFlags } from "./docs-options.ts";
import { ProgressLine } from "./docs-progress.ts";

interface RotateFlags extends StoreFlags {
  readonly lockOutOld?: true;
}

/** Adds the commands to the group. */
export function addDocsKeyCommands(group: Command, context: CommandContext): void {
  withStoreFlags(group.command("rotate"))
    .description(
      "rotate a project's key on the service, and encrypt all its documents anew under the new version",
    )
    .argument("<project>")
    .option("--lock-out-old", "afterwards the service opens no older version of the key any more")
    .addHelpText(
      "after",
      `
Takes an account that may rotate the key: <project>-kek, or <project>-dek with --form exported. Documents are read and
written meanwhile, by other processes too. If it is interrupted, run it again, or let keystead docs reencrypt go on, which
moves what is under an older key and makes no new one.

With --lock-out-old the key's min_decryption_version is raised (keystead key update): copies of the folder from before the
rotation open no more, unless it is lowered again.`,
    )
    .action(async (project: string, flags: RotateFlags) => {
      const client = context.client();
      const name = dekSource(flags.form, client).keyName(foldProject(project));
      const store = openStore(context, flags);
      const { latest_version: latest } = await client.key.rotate(name);
      await store.advanceKey(project);
      await reencrypt(context, flags, project);
      if (flags.lockOutOld === true) await client.key.update(name, { minDecryptionVersion: latest });
    });

  withStoreFlags(group.command("reencrypt"))
    .description(
      "go on with a re-encryption that was interrupted: every document under the project's newest key",
    )
    .argument("<project>")
    .action((project: string, flags: StoreFlags) => reencrypt(context, flags, project));
}

async function reencrypt(context: CommandContext, flags: StoreFlags, project: string): Promise<void> {
  const progress = new ProgressLine("documents");
  const result = await openStore(context, flags)
    .reencrypt(project, { onProgress: progress.show })
    .finally(progress.end);
  await context.output().record({ ...result });
}
