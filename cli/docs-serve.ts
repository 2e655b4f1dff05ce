/** `keystead docs serve`: the document store over HTTP. */
import type { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { Command } from "commander";
import { CallersRefused, parseCallers, type DocumentCaller } from "../docstore/callers.ts";
import { DocumentServer } from "../docstore/document-server.ts";
import { DocStoreError, systemCodeOf } from "../docstore/doc-store-error.ts";
import { makeFolders } from "../docstore/durable-file.ts";
import type { CommandContext } from "./command-context.ts";
import { openStore, withStoreFlags, type StoreFlags } from "./docs-options.ts";
import { InputFailed, readInputFile } from "./input.ts";
import { parseCount } from "./numbers.ts";
import { UsageError } from "./usage-error.ts";

const BODY_BYTES_MAX = 16 * 1024 * 1024;

interface ServeFlags extends StoreFlags {
  readonly addr: string;
  readonly tokens?: string;
  readonly open?: true;
  readonly bodyMax?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsByProxy?: true;
}

/** Adds the command. */
export function addDocsServeCommand(group: Command, context: CommandContext): void {
  withStoreFlags(group.command("serve"))
    .description("serve documents over HTTP, with the key service as another process")
    .option("--addr <address>", "where to listen: host:port", "127.0.0.1:8090")
    .option("--tokens <path>", "who may ask: a file with a token on each line, and its projects behind it")
    .option("--open", "ask for no token on an address that others reach")
    .option("--body-max <bytes>", "the largest document, at most 16777216 (1048576 unless set)")
    .option("--tls-cert <path>", "a certificate's file, PEM, with its chain")
    .option("--tls-key <path>", "its private key's file, PEM")
    .option("--tls-by-proxy", "a proxy does TLS: serve an address that others reach without")
    .addHelpText(
      "after",
      `
PUT, GET and DELETE /projects/{project}/docs/{collection}/{id}; GET /projects/{project}/docs/{collection} and
/projects/{project}/docs list; GET /health says whether the folder and the key service are well, /ready whether it serves.

Without --tokens it answers programs of this machine only. SIGTERM ends it when the requests under way are done.

Example:
  KEYSTEAD_TOKEN_FILE=docs.token keystead docs serve --data ./data`,
    )
    .action(async (flags: ServeFlags) => {
      process.umask(0o077);
      const { host, port } = addressOf(flags.addr);
      const isLocal = host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
      const callers = callersOf(flags.tokens);
      const tls = tlsOf(flags);
      if (!isLocal && callers === undefined && flags.open !== true) {
        throw new UsageError("an address that others reach takes --tokens (or --open, for everybody)");
      }
      if (!isLocal && tls === undefined && flags.tlsByProxy !== true) {
        throw new UsageError(
          "an address that others reach takes --tls-cert and --tls-key, or --tls-by-proxy",
        );
      }
      const bodyBytesMax =
        flags.bodyMax === undefined ? undefined : parseCount(flags.bodyMax, "--body-max", BODY_BYTES_MAX);
      const output = context.output();
      await makeFolders(flags.data).catch(() => {
        throw new InputFailed("the folder of the documents cannot be made");
      });
      const server = new DocumentServer({
        store: openStore(context, flags),
        data: flags.data,
        client: context.client(),
        callers,
        openToAll: flags.open,
        bodyBytesMax,
        tls,
        onFailure: (code, error) => {
          const cause = error instanceof DocStoreError ? error.cause : error;
          const below = systemCodeOf(cause) ?? (cause instanceof Error ? cause.name : undefined);
          output.remark(`a request failed: ${code}${below === undefined ? "" : ` (${below})`}`);
        },
      });
      const ended = new Promise<void>((resolve) => {
        for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
      });
      const bound = await server.listen(port, host).catch(() => {
        throw new InputFailed("the address cannot be listened on");
      });
      const shown = isIP(host) === 6 ? `[${host}]` : host;
      output.remark(`documents at ${tls === undefined ? "http" : "https"}://${shown}:${bound}`);
      await ended;
      await server.close();
    });
}

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(\[([0-9a-fA-F:.]+)\]|[a-zA-Z0-9.-]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[2] ?? match?.[1];
  if (host === undefined || port > 65535) throw new UsageError("--addr is host:port, such as 127.0.0.1:8090");
  return { host, port };
}

function callersOf(path: string | undefined): DocumentCaller[] | undefined {
  if (path === undefined) return undefined;
  try {
    const callers = parseCallers(readInputFile(path, "the tokens").toString("utf8"));
    if (callers.length === 0) throw new InputFailed("the file for the tokens holds none");
    return callers;
  } catch (error) {
    if (error instanceof CallersRefused) throw new InputFailed(error.message);
    throw error;
  }
}

function tlsOf({ tlsCert, tlsKey }: ServeFlags): { cert: Buffer; key: Buffer } | undefined {
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError("--tls-cert and --tls-key come together");
  }
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return { cert: readInputFile(tlsCert, "the certificate"), key: readInputFile(tlsKey, "its key") };
}
