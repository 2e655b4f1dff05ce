/** The open-loop load (paced-loader.ts), as the cases order it. */
import { join } from "node:path";
import { capture, median } from "./measure.ts";

export interface PacedOrder {
  readonly port: number;
  /** One whole HTTP/1.1 request, keep-alive. */
  readonly request: string;
  /** The rate. */
  readonly perSecond: number;
  /** How many connections share it; a request waits for a free one. */
  readonly connections: number;
  readonly seconds: number;
}

export interface PacedResult {
  /** The rate that was ordered. */
  readonly perSecond: number;
  readonly sent: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface PacedRounds {
  readonly rounds: number;
  /** The highest rate that there is undisturbed, measured anew before each round: a machine's speed changes by the minute. */
  readonly highest: () => Promise<number>;
  /** What goes on beside the load, until it is over. */
  readonly disturb?: (over: AbortSignal) => Promise<void>;
}

/** Loads a server at half of its highest rate, several times: medians, but for the longest latency and the sums. */
export async function pacedRounds(
  order: Omit<PacedOrder, "perSecond">,
  { rounds, highest, disturb }: PacedRounds,
): Promise<PacedResult> {
  const results: PacedResult[] = [];
  for (let round = 0; round < rounds; round++) {
    const perSecond = (await highest()) / 2;
    const over = new AbortController();
    const disturbing = disturb?.(over.signal);
    results.push(await pacedLoad({ ...order, perSecond }));
    over.abort();
    await disturbing;
  }
  const sum = (pick: (result: PacedResult) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  const middle = (pick: (result: PacedResult) => number): number => median(results.map(pick));
  return {
    perSecond: middle(({ perSecond }) => perSecond),
    sent: sum(({ sent }) => sent),
    failed: sum(({ failed }) => failed),
    p50Ms: middle(({ p50Ms }) => p50Ms),
    p99Ms: middle(({ p99Ms }) => p99Ms),
    maxMs: Math.max(...results.map(({ maxMs }) => maxMs)),
  };
}

async function pacedLoad(order: PacedOrder): Promise<PacedResult> {
  const script = join(import.meta.dirname, "paced-loader.ts");
  const text = await capture(process.execPath, ["--no-env-file", script, JSON.stringify(order)]);
  return JSON.parse(text) as PacedResult;
}

/** One whole POST request with a JSON body, as text. */
export function requestText(
  token: string,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): string {
  return [
    `POST ${path} HTTP/1.1`,
    "Host: 127.0.0.1",
    ...(token === "" ? [] : [`Authorization: Bearer ${token}`]),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    "",
    body,
  ].join("\r\n");
}

/** A line of figures for people. */
export function latencyLine(name: string, { perSecond, p50Ms, p99Ms, maxMs, failed }: PacedResult): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return `${name.padEnd(34)}at ${perSecond.toFixed(0)} /s  p50 ${ms(p50Ms)}  p99 ${ms(p99Ms)}  max ${ms(maxMs)}  ${failed} failed`;
}
