/** The native API's routes for the keys that seal the records. */
import { z } from "zod";
import {
  barrierKeyStates,
  barrierRotate,
  barrierStatus,
  type BarrierStatus,
} from "../../service/barrier-operations.ts";
import { time } from "./fields.ts";
import { nativeRoute, type AnyNativeRoute } from "./native-route.ts";

const count = z.int().min(0);
const barrierAnswer = z.strictObject({
  version: count,
  keys: z.array(
    z.strictObject({
      version: count,
      state: z.enum(barrierKeyStates),
      created_at: time,
      records_left: count.optional(),
      unused_since: time.optional(),
    }),
  ),
});

export const barrierRoutes: readonly AnyNativeRoute[] = [
  nativeRoute({
    operation: barrierStatus,
    method: "GET",
    path: "/v1/barrier",
    summary: "Say which keys seal the records, and how many records each older one still seals",
    status: 200,
    response: barrierAnswer,
    input: () => undefined,
    output: shown,
  }),
  nativeRoute({
    operation: barrierRotate,
    method: "POST",
    path: "/v1/barrier/rotate",
    summary: "Make a new key that seals the records; those of before are sealed anew meanwhile",
    status: 200,
    body: z.strictObject({}),
    response: barrierAnswer,
    input: () => ({}),
    output: shown,
  }),
];

function shown({ version, keys }: BarrierStatus): z.input<typeof barrierAnswer> {
  return {
    version,
    keys: keys.map((key) => ({
      version: key.version,
      state: key.state,
      created_at: key.createdAt,
      records_left: key.recordsLeft,
      unused_since: key.unusedSince,
    })),
  };
}
