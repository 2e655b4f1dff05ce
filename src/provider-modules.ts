/**
 * Providers from files that the operator names: each file's default export makes one (docs/provider.md).
 * Invariant: such a file runs as the service does, so it is loaded only where nobody else can have written it: it and every
 * folder above it belong to root or to the service's user, and no other may write there. A start with one that may not be
 * loaded, or that is no provider, is refused with one line.
 */
import { lstatSync, realpathSync, statSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { guardedProvider } from "./crypto/guarded-provider.ts";
import type { CryptoProvider } from "./crypto/provider.ts";
import { Providers } from "./crypto/providers.ts";
import { softwareProvider } from "./crypto/software-provider.ts";
import { KeysteadError } from "./errors.ts";
import { StartRefused } from "./start-refused.ts";

/** What a file's default export is called with. */
export interface ProviderContext {
  /** For what a provider does not do itself. */
  readonly software: typeof softwareProvider;
  /** The service's errors, for what is the caller's fault. */
  readonly KeysteadError: typeof KeysteadError;
}

const OTHERS_MAY_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * The providers of this process.
 * @param given providers that are there already, beside those of the files
 * @throws StartRefused
 */
export async function openProviders(
  files: readonly string[],
  defaultName: string,
  given: readonly CryptoProvider[] = [],
): Promise<Providers> {
  const providers = given.map((provider) => guardedProvider(provider));
  try {
    for (const file of files) providers.push(await loaded(file));
    return new Providers(providers, defaultName);
  } catch (error) {
    for (const provider of providers) await provider.close?.();
    if (error instanceof StartRefused) throw error;
    const names = [softwareProvider, ...providers].map(({ name }) => name).join(", ");
    throw new StartRefused(`KEYSTEAD_PROVIDER and KEYSTEAD_PROVIDERS: ${reasonOf(error)} (${names})`);
  }
}

async function loaded(file: string): Promise<CryptoProvider> {
  const why = whyNotLoaded(file);
  if (why !== undefined) throw new StartRefused(`KEYSTEAD_PROVIDERS: ${file} ${why}`);
  try {
    const module = (await import(pathToFileURL(realpathSync(file)).href)) as { readonly default?: unknown };
    if (typeof module.default !== "function")
      throw new Error("its default export is not a function that makes a provider");
    const make = module.default as (context: ProviderContext) => unknown;
    return guardedProvider(await make({ software: softwareProvider, KeysteadError }));
  } catch (error) {
    throw new StartRefused(`KEYSTEAD_PROVIDERS: ${file} is not used: ${reasonOf(error)}`);
  }
}

/** The one line of what a file's code threw. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n", 1)[0] ?? "";
}

function whyNotLoaded(file: string): string | undefined {
  let real: string;
  try {
    real = realpathSync(file);
    if (!statSync(real).isFile()) return "is not a file";
  } catch {
    return "cannot be read";
  }
  if (process.getuid === undefined) return undefined;
  const uid = process.getuid();
  const isOurs = (stats: Stats): boolean => stats.uid === 0 || stats.uid === uid;
  const stats = statSync(real);
  if (!isOurs(stats)) return "belongs to another user than root and the service's own";
  if ((stats.mode & OTHERS_MAY_WRITE) !== 0) return "can be written by others; set its mode to 0600 or 0644";
  // A link is as good as the folder that it stands in.
  for (const path of new Set([file, real])) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      const there = lstatSync(folder).isSymbolicLink() ? statSync(folder) : lstatSync(folder);
      const isOpen = (there.mode & OTHERS_MAY_WRITE) !== 0 && (there.mode & STICKY) === 0;
      if (!isOurs(there) || isOpen) return "lies in a folder that others may write to";
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}
