/**
 * Work by turns of the event loop: what arrives in one turn is done together, after all of it was received. The processor
 * then runs the same code for one request after the other, without the kernel's work between two of them, and what they
 * write goes out together at the end of the same turn.
 * Invariant: the end of a turn comes after everything that its requests could do without waiting.
 */
type Callback = () => void;

let gathering: PromiseWithResolvers<void> | undefined;
/** What is to be done at the end of the turn under way; undefined between two turns. */
let atEnd: Callback[] | undefined;

/** Resolves when what arrived in this turn of the loop is there. */
export function gathered(): Promise<void> {
  if (gathering === undefined) {
    gathering = Promise.withResolvers();
    atEnd ??= [];
    // In this order, each followed by all that it makes ready (its microtasks).
    setImmediate(doGathered);
    setImmediate(doEnd);
  }
  return gathering.promise;
}

/** Calls back at the end of the turn under way, or soon where there is none. */
export function atTurnEnd(callback: Callback): void {
  if (atEnd === undefined) {
    setImmediate(callback);
  } else {
    atEnd.push(callback);
  }
}

function doGathered(): void {
  const { resolve } = gathering ?? {};
  gathering = undefined;
  resolve?.();
}

function doEnd(): void {
  const callbacks = atEnd ?? [];
  // Whatever begins a turn from here on has an end of its own.
  atEnd = gathering === undefined ? undefined : [];
  for (const callback of callbacks) callback();
}
