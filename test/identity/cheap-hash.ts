/** A hash that costs next to nothing, for tests in which its cost is not the question. */
export const cheap = { memoryKib: 64, passes: 1, lanes: 1, bytes: 32 };
