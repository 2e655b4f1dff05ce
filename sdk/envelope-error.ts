/** Why local encryption or decryption did not come about. */

/**
 * A message does not open: it was changed, cut or is none, or its key, context or additional data are others.
 * Invariant: which of these it was is not said; nothing of the message is in it.
 */
export class KeysteadDecryptionError extends Error {
  readonly code = "decryption_failed";

  constructor() {
    super("Decryption failed");
    this.name = "KeysteadDecryptionError";
  }
}

/**
 * The data key is not in the cache, and the key service does not answer: nothing was encrypted or decrypted. The call may
 * succeed later. What the service or the network said is in `cause`.
 */
export class KeysteadDataKeyError extends Error {
  readonly code = "data_key_unavailable";

  constructor(cause: unknown) {
    super("The data key is not cached, and the key service does not answer", { cause });
    this.name = "KeysteadDataKeyError";
  }
}
