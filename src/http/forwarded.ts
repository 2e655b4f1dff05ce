/**
 * Whose request it is where proxies stand in between: X-Forwarded-For counts from listed proxies only.
 * The header is read from its right end, where each listed proxy wrote the address that it saw; what stands to the left
 * of the first address that is no listed proxy is the client's own say and is not looked at.
 * Invariant: an address that nobody in the list vouched for is never taken; where the header leads to none, the peer's
 * address stays.
 */
import { addressText, isInBlock, parseAddress, parseBlock, type AddressBlock } from "./ip-address.ts";

/** Beyond so many proxies in a row nobody is believed. */
const HOPS_MAX = 32;

export class TrustedProxies {
  readonly #blocks: readonly AddressBlock[];

  constructor(blocks: readonly AddressBlock[]) {
    this.#blocks = blocks;
  }

  /** From addresses and CIDR blocks between commas; undefined where one of them is none. */
  static parse(text: string): TrustedProxies | undefined {
    const blocks = text.split(",").map((part) => parseBlock(part.trim()));
    return blocks.includes(undefined)
      ? undefined
      : new TrustedProxies(blocks.filter((block) => block !== undefined));
  }

  /**
   * The client's address, in its one text; undefined where it is the peer's own.
   * @param peer the address that the connection came from
   * @param forwarded reads X-Forwarded-For, several of which are joined by commas; called for listed peers only
   */
  clientOf(peer: string, forwarded: () => string | undefined): string | undefined {
    if (!this.#lists(peer)) return undefined;
    const hops = forwarded()?.split(",") ?? [];
    for (const hop of hops.reverse().slice(0, HOPS_MAX)) {
      const groups = parseAddress(hop.replace(/^[ \t]+|[ \t]+$/g, ""));
      if (groups === undefined) return undefined;
      if (!this.#blocks.some((block) => isInBlock(groups, block))) return addressText(groups);
    }
    return undefined;
  }

  #lists(address: string): boolean {
    const groups = parseAddress(address);
    return groups !== undefined && this.#blocks.some((block) => isInBlock(groups, block));
  }
}
