/** An audit sink in memory whose disk fails, or waits, when a test says so. Like a full disk it still takes no bytes. */
import { FlushFailed, type AuditSink } from "../../src/audit/audit-sink.ts";

export class FakeSink implements AuditSink {
  text = "";
  writes = 0;
  syncs = 0;
  reopens = 0;
  closed = false;
  failing = false;
  flushFailing = false;
  #gate: PromiseWithResolvers<void> | undefined;

  /** From now on writes wait until `release`. */
  hold(): void {
    this.#gate = Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = undefined;
  }

  get sequences(): number[] {
    return this.text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => (JSON.parse(line) as { sequence: number }).sequence);
  }

  async write(text: string): Promise<void> {
    await this.#gate?.promise;
    if (this.closed) throw new Error("written to after it was closed");
    if (this.failing && text !== "") throw new Error("no space left on device");
    this.writes++;
    this.text += text;
  }

  async sync(): Promise<void> {
    this.syncs++;
    return this.flushFailing ? Promise.reject(new FlushFailed(new Error("I/O error"))) : Promise.resolve();
  }

  async reopen(): Promise<void> {
    this.reopens++;
    return this.flushFailing ? Promise.reject(new FlushFailed(new Error("I/O error"))) : Promise.resolve();
  }

  async wasMoved(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}
