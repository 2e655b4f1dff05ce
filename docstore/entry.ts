/** What `@keystead/docstore` offers under its own name. The modules are there under theirs: `@keystead/docstore/callers`. */
export { DocStore } from "./doc-store.ts";
export type { DocStoreOptions, Json, ListOptions, NamesPage, PutOptions } from "./doc-store.ts";
export type { DekForm } from "./dek-source.ts";
export { DocStoreError, type DocStoreErrorCode } from "./doc-store-error.ts";
export type { ReencryptOptions, ReencryptProgress, ReencryptResult } from "./reencryption.ts";
export { importBundoc, type BundocImportOptions, type BundocImportResult } from "./bundoc-import.ts";
export { DocumentServer, type DocumentServerOptions } from "./document-server.ts";
export { encryptedKeyv } from "./keyv-adapter.ts";
export { encryptedDriver } from "./unstorage-driver.ts";
