/** A document that shows whether it is whole: its size follows from its serial number. */
export interface CrashBody {
  readonly [name: string]: string | number;
  readonly id: string;
  readonly serial: number;
  readonly filling: string;
}

export function bodyOf(id: string, serial: number): CrashBody {
  return { id, serial, filling: `canary-${serial}-`.repeat(1 + ((serial * 7919) % 600)) };
}
