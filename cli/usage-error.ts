/** The command line itself is wrong: exit code 2. Invariant: the message never holds a value that was given. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
