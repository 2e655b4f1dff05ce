/**
 * Whether the service can do its work, check by check.
 * A clock that jumped is told and takes nothing out of service: requests go on.
 * Invariant: a check that does not answer within its time counts as failed; checks run at most once a second however
 * often they are asked for.
 */
import type { ClockWatch } from "./clock-watch.ts";

export type CheckResult = "ok" | "failed" | "jumped";

export interface HealthReport {
  readonly status: "ok" | "degraded";
  readonly checks: Readonly<Record<string, CheckResult>>;
}

const CHECK_MS_MAX = 1000;
const KEEP_MS = 1000;

export class Health {
  readonly #checks: Readonly<Record<string, () => boolean | Promise<boolean>>>;
  readonly #clock: ClockWatch;
  #report: Promise<HealthReport> | undefined;
  #reportedAt = 0;

  /** @param checks each answers whether its part works */
  constructor(checks: Readonly<Record<string, () => boolean | Promise<boolean>>>, clock: ClockWatch) {
    this.#checks = checks;
    this.#clock = clock;
  }

  report(): Promise<HealthReport> {
    const now = performance.now();
    if (this.#report === undefined || now - this.#reportedAt > KEEP_MS) {
      this.#reportedAt = now;
      this.#report = this.#run();
    }
    return this.#report;
  }

  async #run(): Promise<HealthReport> {
    const results = await Promise.all(
      Object.entries(this.#checks).map(async ([name, check]): Promise<[string, CheckResult]> => {
        let timer: NodeJS.Timeout | undefined;
        const late = new Promise<boolean>((resolve) => {
          timer = setTimeout(() => {
            resolve(false);
          }, CHECK_MS_MAX);
        });
        try {
          return [name, (await Promise.race([check(), late])) ? "ok" : "failed"];
        } catch {
          return [name, "failed"];
        } finally {
          clearTimeout(timer);
        }
      }),
    );
    const clock = this.#clock.isSteady() ? "ok" : "jumped";
    const checks = { ...Object.fromEntries(results), clock } as const;
    return { status: results.every(([, result]) => result === "ok") ? "ok" : "degraded", checks };
  }
}
