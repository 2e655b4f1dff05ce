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
  readonly sent: number;
  readonly failed: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** Loads a server at a fixed rate, several times: medians, but for the longest of all latencies and the sums. */
export async function pacedRounds(order: PacedOrder, rounds: number): Promise<PacedResult> {
  const results: PacedResult[] = [];
  for (let round = 0; round < rounds; round++) results.push(await pacedLoad(order));
  const sum = (pick: (result: PacedResult) => number): number =>
    results.reduce((total, result) => total + pick(result), 0);
  return {
    sent: sum(({ sent }) => sent),
    failed: sum(({ failed }) => failed),
    p50Ms: median(results.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(results.map(({ p99Ms }) => p99Ms)),
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
export function latencyLine(name: string, { p50Ms, p99Ms, maxMs, failed }: PacedResult): string {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  return `${name.padEnd(34)}p50 ${ms(p50Ms)}  p99 ${ms(p99Ms)}  max ${ms(maxMs)}  ${failed} failed`;
}
