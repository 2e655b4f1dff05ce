/** `keystead key …`: keys themselves; their import is in transfer-commands.ts, their use in crypto-commands.ts. */
import { Argument, type Command } from "commander";
import type { KeyUpdateOptions } from "../sdk/key-api.ts";
import {
  keyPurposes,
  keyStates,
  keyTypes,
  type Key,
  type KeyPurpose,
  type KeyState,
  type KeyType,
} from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { creationOf, withCreationFlags, type CreationFlags } from "./creation-flags.ts";
import { addCryptoCommands } from "./crypto-commands.ts";
import { keyFields } from "./key-fields.ts";
import { askedLabelsOf, labelOption, labelsOf } from "./label-flags.ts";
import { asList } from "./list-options.ts";
import { parseDays, parseVersion } from "./numbers.ts";
import { addTransferCommands } from "./transfer-commands.ts";
import { UsageError } from "./usage-error.ts";

interface ListFilterFlags {
  readonly state?: KeyState;
  readonly type?: KeyType;
  readonly purpose?: KeyPurpose;
  readonly prefix?: string;
  readonly label?: readonly string[];
}

interface UpdateFlags {
  readonly description?: string | false;
  readonly label?: readonly string[] | false;
  readonly rotationDays?: string | false;
  readonly minEncryptionVersion?: string;
  readonly minDecryptionVersion?: string;
  /** True unless it is taken away. */
  readonly exportable: boolean;
}

/** Adds the group. */
export function addKeyCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("key")
    .description("make, import, see, change, rotate, revoke and delete keys");
  addCreate(group, context);
  addTransferCommands(group, context);
  addList(group, context);

  group
    .command("get")
    .description("show a key's metadata (--json shows its versions too)")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const key = await context.client().key.get(name);
      await context.output().record(keyFields(key), key);
    });

  addUpdate(group, context);

  group
    .command("rotate")
    .description("add a version; it encrypts and signs from now on, older ones still decrypt and verify")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const key = await context.client().key.rotate(name);
      await context.output().record(keyFields(key), key);
    });

  addStates(group, context);
  addDeletion(group, context);
  addCryptoCommands(group, context);
}

function addCreate(group: Command, context: CommandContext): void {
  const command = group.command("create");
  withCreationFlags(
    command
      .description("make a key")
      .argument("<name>", "letters, digits, `.`, `_`, `-`")
      .addArgument(new Argument("[type]", "what it is for: see below (aes-256 unless set)").choices(keyTypes))
      .addOption(command.createOption("--type <type>", "the same as a flag").choices(keyTypes))
      .addOption(
        command
          .createOption("--purpose <purpose>", "of an RSA key: sign (unless set) or encrypt")
          .choices(keyPurposes),
      ),
  )
    .addHelpText(
      "after",
      `
Types:
  aes-256, chacha20-poly1305              encrypt (AES-256-GCM, ChaCha20-Poly1305)
  xaes-256, xchacha20-poly1305            encrypt (XAES-256-GCM, XChaCha20-Poly1305: no limit of messages that anyone
                                          will reach)
  aes-128-gcm                             encrypts (AES-128-GCM)
  aes-128-cbc-hmac-sha-256, aes-256-cbc-hmac-sha-512
                                          encrypt (A128CBC-HS256, A256CBC-HS512 of RFC 7518)
  rsa-2048, rsa-3072, rsa-4096            sign, or with --purpose encrypt do that (OAEP)
  ecdsa-p256, ecdsa-p384, ecdsa-p521      sign
  secp256k1                               signs (ECDSA)
  ed25519                                 signs
  ml-dsa-44, ml-dsa-65, ml-dsa-87         sign (post-quantum)
  hmac-256, hmac-384, hmac-512            make message authentication codes
  ml-kem-768, ml-kem-1024                 encapsulate (post-quantum)
  x25519                                  agrees on a secret with a peer's key
  aes-256-kwp, aes-128-kwp                wrap other keys in transit (AES-KWP)
  aes-256-kw, aes-128-kw                  the same without padding (AES-KW)
  bls12-381-g1, bls12-381-g2, bls12-381-g1g2
                                          are kept and shown

Examples:
  keystead key create orders --label team=payments --rotation-days 90
  keystead key create release ecdsa-p256
  keystead key create inbox --type rsa-3072 --purpose encrypt`,
    )
    .action(async (name: string, typed: KeyType | undefined, flags: CreationFlags & { type?: KeyType }) => {
      if (typed !== undefined && flags.type !== undefined) {
        throw new UsageError("the type stands after the name or in --type, not in both");
      }
      const options = { type: typed ?? flags.type, ...creationOf(flags) };
      const key = await context.client().key.create(name, options);
      await context.output().record(keyFields(key), key);
    });
}

function addList(group: Command, context: CommandContext): void {
  const command = group.command("list").description("list the project's keys");
  command
    .addOption(
      command
        .createOption("--state <state>", "only those in this state (destroyed ones are shown so alone)")
        .choices(keyStates),
    )
    .addOption(command.createOption("--type <type>", "only those of this type").choices(keyTypes))
    .addOption(command.createOption("--purpose <purpose>", "only those made for this").choices(keyPurposes))
    .option("--prefix <text>", "only those whose names begin so")
    .addOption(labelOption(command, "only those with this label; the name alone stands for any value"));
  asList<Key, ListFilterFlags>(command, context, {
    name: "keys",
    async page(range, { state, type, purpose, prefix, label }) {
      const filter = { state, type, purpose, prefix, labels: askedLabelsOf(label) };
      const { keys, next_cursor: nextCursor } = await context.client().key.list({ ...range, ...filter });
      return { items: keys, nextCursor };
    },
    fields: ({ name, type, state, latest_version, created_at }) => ({
      name,
      type,
      state,
      latest_version,
      created_at,
    }),
  });
}

function addUpdate(group: Command, context: CommandContext): void {
  const command = group.command("update");
  command
    .description("change what is said of a key, and which of its versions may be used; the rest stays")
    .argument("<name>", "its name or id")
    .option("--description <text>", "what it is for")
    .option("--no-description", "take the description away")
    .addOption(labelOption(command, "its labels from now on, in place of all that it had"))
    .option("--no-label", "take all labels away")
    .option("--rotation-days <days>", "it rotates by itself when its latest version is this old")
    .option("--no-rotation-days", "it rotates by itself no more")
    .option("--min-encryption-version <version>", "nothing new is made with an older version")
    .option("--min-decryption-version <version>", "nothing is opened or verified with an older version")
    .option("--no-exportable", "it leaves the service no more; there is no way back")
    .addHelpText(
      "after",
      `
Examples:
  keystead key update orders --description "Card numbers" --label team=payments --label env=prod
  keystead key update orders --min-decryption-version 3`,
    )
    .action(async (name: string, flags: UpdateFlags) => {
      const changes = changesOf(flags);
      if (Object.values(changes).every((change) => change === undefined)) {
        throw new UsageError("say what to change: see keystead key update --help");
      }
      const key = await context.client().key.update(name, changes);
      await context.output().record(keyFields(key), key);
    });
}

function changesOf(flags: UpdateFlags): KeyUpdateOptions {
  const { description, label, rotationDays, minEncryptionVersion, minDecryptionVersion, exportable } = flags;
  return {
    description: description === false ? null : description,
    labels: label === false ? {} : labelsOf(label),
    rotationPeriodDays: rotationDays === false ? null : parseDays(rotationDays, "--rotation-days"),
    minEncryptionVersion: parseVersion(minEncryptionVersion, "--min-encryption-version"),
    minDecryptionVersion: parseVersion(minDecryptionVersion, "--min-decryption-version"),
    exportable: exportable ? undefined : false,
  };
}

function addStates(group: Command, context: CommandContext): void {
  group
    .command("enable")
    .description("allow the uses of a disabled key, or of one version, again")
    .argument("<name>", "its name or id")
    .option("--version <version>", "this version instead of the whole key")
    .action(async (name: string, flags: { version?: string }) => {
      const key = await context.client().key.enable(name, { version: parseVersion(flags.version) });
      await context.output().record(keyFields(key), key);
    });

  group
    .command("disable")
    .description("refuse the uses of a key, or of one version, until it is enabled again")
    .argument("<name>", "its name or id")
    .option("--version <version>", "this version instead of the whole key")
    .action(async (name: string, flags: { version?: string }) => {
      const key = await context.client().key.disable(name, { version: parseVersion(flags.version) });
      await context.output().record(keyFields(key), key);
    });

  group
    .command("revoke")
    .description("refuse every use of a key from now on; what it encrypted opens no more")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const { status, name: revoked, revoked_at } = await context.client().key.revoke(name);
      await context.output().record({ status, name: revoked, revoked_at });
    });
}

function addDeletion(group: Command, context: CommandContext): void {
  group
    .command("schedule-deletion")
    .description("refuse every use of a key, and destroy it later; until then cancel-deletion keeps it")
    .argument("<name>", "its name or id")
    .option("--days <days>", "when it is destroyed: in 7 to 30 days (30 unless set)")
    .action(async (name: string, flags: { days?: string }) => {
      const key = await context
        .client()
        .key.scheduleDeletion(name, { days: parseDays(flags.days, "--days") });
      await context.output().record(keyFields(key), key);
    });

  group
    .command("cancel-deletion")
    .description("keep a key that was to be deleted, in the state that it had before")
    .argument("<name>", "its name or id")
    .action(async (name: string) => {
      const key = await context.client().key.cancelDeletion(name);
      await context.output().record(keyFields(key), key);
    });
}
