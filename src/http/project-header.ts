/**
 * The `X-Keystead-Project` header: which project a request acts in.
 * Invariant: what is no project's name is refused before it is looked for.
 */
import { KeysteadError } from "../errors.ts";
import { DEFAULT_PROJECT } from "../identity/projects.ts";
import type { WireRequest } from "./wire.ts";

const projectName = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** The project that a request names, as it came, or the default one. */
export function projectOf(request: WireRequest): string {
  return request.header("x-keystead-project") ?? DEFAULT_PROJECT;
}

/** Throws `invalid_header` where the text that came can be no project's name. */
export function assertProjectName(text: string): void {
  if (!projectName.test(text))
    throw new KeysteadError("invalid_header", { detail: "X-Keystead-Project is no project name" });
}
