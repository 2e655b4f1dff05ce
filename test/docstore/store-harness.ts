/** A document store over a real service, for tests: in both forms, with clients of the least rights that each needs. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DocStore, type DocStoreOptions } from "../../docstore/doc-store.ts";
import { DocStoreError, type DocStoreErrorCode } from "../../docstore/doc-store-error.ts";
import type { DekForm } from "../../docstore/dek-source.ts";
import { KeysteadClient } from "../../sdk/client.ts";
import { startServer, temporaryFolder, type TestService } from "../harness.ts";

export interface StoreHarness {
  readonly service: TestService;
  readonly client: KeysteadClient;
  readonly data: string;
  /** Another store over the same folder, unless options say otherwise: as another process would have it. */
  readonly store: (options?: Partial<DocStoreOptions>) => DocStore;
}

/** A service that exports on its main address, as a node in an internal network does. */
export function startKeyService(): Promise<TestService> {
  return startServer({ KEYSTEAD_EXPORT_ON_MAIN: "1" });
}

/** Stores of one form over a new folder. */
export async function storesOf(form: DekForm, service: TestService): Promise<StoreHarness> {
  const token = await service.token(...storeRole(form));
  const client = new KeysteadClient({ url: service.url, token });
  const data = join(temporaryFolder(), "data");
  return {
    service,
    client,
    data,
    store: (options = {}) => new DocStore({ data, client, form, ...options }),
  };
}

export function storeRole(form: DekForm): Parameters<TestService["token"]> {
  return form === "wrapped"
    ? ["admin", { pattern: "*-kek" }]
    : ["exporter", { kind: "service", pattern: "*-dek" }];
}

/** The name of the service's key for a project. */
export function keyNameOf(form: DekForm, project: string): string {
  return `${project}-${form === "wrapped" ? "kek" : "dek"}`;
}

/** For assert.rejects. */
export function refused(code: DocStoreErrorCode): (error: unknown) => boolean {
  return (error) => {
    if (error instanceof DocStoreError && error.code === code) return true;
    throw error;
  };
}

/** All files below a folder, temporary ones too. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** All folders below a folder. */
export function foldersBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...foldersBelow(path)] : [];
  });
}

export function modeOf(path: string): number {
  return statSync(path).mode & 0o777;
}

/** Whether bytes stand anywhere below a folder: in a file, or in a name. */
export function isAnywhereBelow(folder: string, text: string): boolean {
  return filesBelow(folder).some((path) => path.includes(text) || readFileSync(path).includes(text));
}
