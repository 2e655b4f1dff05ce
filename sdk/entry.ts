/** What `@keystead/client` offers under its own name. The modules are there under theirs: `@keystead/client/wire`. */
export { KeysteadClient, type KeysteadClientOptions } from "./client.ts";
export { KeysteadApiError } from "./api-error.ts";
export { KeysteadConnectionError } from "./connection-error.ts";
export { KeysteadCredentialError } from "./credential-error.ts";
export { KeysteadDataKeyError, KeysteadDecryptionError } from "./envelope-error.ts";
export { KeysteadInputError } from "./input-error.ts";
export { KeysteadItemError } from "./item-error.ts";
export type { Credential, CredentialSource } from "./credentials.ts";
export { loginCredentials, type LoginCredentialsOptions } from "./login-credentials.ts";
export type { EnvelopeOptions, LocalCipher } from "./local-cipher.ts";
export type { CallOptions } from "./transport.ts";
export type * from "./wire.ts";
