/** A setting or a data path that does not allow a start. The message is one line for the operator, without a secret. */
export class StartRefused extends Error {
  constructor(message: string) {
    super(message);
    this.name = "StartRefused";
  }
}
