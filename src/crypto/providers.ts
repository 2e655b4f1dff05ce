/**
 * The providers that this process has, by name.
 * Invariant: the software provider is among them; a name stands for one provider.
 */
import { KeysteadError } from "../errors.ts";
import type { CryptoProvider, KeyKind, ProviderCapability } from "./provider.ts";
import { SOFTWARE, softwareProvider } from "./software-provider.ts";

export class Providers {
  readonly #byName: ReadonlyMap<string, CryptoProvider>;
  /** The provider of new keys, where a request names none. */
  readonly defaultName: string;

  /**
   * @param others beside the software provider
   * Throws an Error, in one sentence, for two of one name and for a default that is not there.
   */
  constructor(others: readonly CryptoProvider[] = [], defaultName: string = SOFTWARE) {
    const all: readonly CryptoProvider[] = [softwareProvider, ...others];
    this.#byName = new Map(all.map((provider) => [provider.name, provider]));
    if (this.#byName.size !== all.length) throw new Error("two providers have the same name");
    if (!this.#byName.has(defaultName)) throw new Error("the default provider is not among the providers");
    this.defaultName = defaultName;
  }

  /** The provider of a key. Throws `provider_unavailable` where this process does not have it. */
  of(name: string = SOFTWARE): CryptoProvider {
    const provider = this.#byName.get(name);
    if (provider === undefined) {
      throw new KeysteadError("provider_unavailable", {
        cause: new Error("a key's provider is not among those that this process was started with"),
      });
    }
    return provider;
  }

  /** The provider for a new key. Throws `invalid_body` for one that is not there. */
  forNew(name: string = this.defaultName): CryptoProvider {
    const provider = this.#byName.get(name);
    if (provider === undefined)
      throw new KeysteadError("invalid_body", { field: "provider", detail: "there is no such provider" });
    return provider;
  }

  /** Frees what they hold. */
  async close(): Promise<void> {
    for (const provider of this.#byName.values()) await provider.close?.();
  }
}

/** What a provider can do with keys of a kind. Throws `invalid_body` where it has none of them. */
export function capabilityFor({ capabilities }: CryptoProvider, kind: KeyKind): ProviderCapability {
  const found = capabilities.find(({ type, purpose }) => type === kind.type && purpose === kind.purpose);
  if (found === undefined) {
    throw new KeysteadError("invalid_body", {
      field: "type",
      detail: "the provider has no keys of this type and purpose",
    });
  }
  return found;
}
