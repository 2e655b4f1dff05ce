/** The session of `keystead login` has ended: there is nothing to go on with until the next login. */
export class SessionEnded extends Error {
  constructor() {
    super("the session has ended; log in again with keystead login");
    this.name = "SessionEnded";
  }
}
