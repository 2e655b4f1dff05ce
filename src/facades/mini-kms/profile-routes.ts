/** Mini KMS's profiles: make, list, delete. */
import { z } from "zod";
import { asKeysteadError, KeysteadError } from "../../errors.ts";
import { facadeRoute, type AnyFacadeRoute } from "../../http/facade/facade.ts";
import type { FacadeCall } from "../../http/facade/facade-call.ts";
import { projectCreate, projectList, projectScheduleDeletion } from "../../service/identity-operations.ts";
import { PREFIX, profileName, profileOfProject, projectOfProfile } from "./profile.ts";

const DELETION_DAYS = 30;
const PAGE_PROJECTS = 1000;
const PAGES_MAX = 20;

const named = z.strictObject({ name: profileName });

export const profileRoutes: readonly AnyFacadeRoute[] = [
  facadeRoute({
    method: "POST",
    path: "/profile",
    summary: "Make a profile",
    operation: projectCreate,
    status: 200,
    body: named,
    response: named,
    async serve(call, { body: { name } }) {
      await call.perform(projectCreate, { name: projectOfProfile(name) });
      return { name };
    },
  }),
  facadeRoute({
    method: "GET",
    path: "/profiles",
    summary: "List the profiles that the caller may see",
    operation: projectList,
    status: 200,
    response: z.strictObject({ profiles: z.array(z.string()) }),
    serve: async (call) => ({ profiles: await profiles(call) }),
  }),
  facadeRoute({
    method: "DELETE",
    path: "/profile/{name}",
    summary:
      "Delete a profile: it is gone here at once and its name is free; what it held is destroyed in 30 days",
    operation: projectScheduleDeletion,
    status: 200,
    params: named,
    response: z.strictObject({ success: z.boolean() }),
    async serve(call, { params: { name } }) {
      const input = { name: projectOfProfile(name), days: DELETION_DAYS, freesName: true };
      try {
        await call.perform(projectScheduleDeletion, input);
        return { success: true };
      } catch (thrown) {
        const { code } = asKeysteadError(thrown);
        if (code !== "project_not_found" && code !== "project_pending_deletion") throw thrown;
        return { success: false };
      }
    },
  }),
];

async function profiles(call: FacadeCall): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = await call.perform(projectList, { limit: PAGE_PROJECTS, cursor, namePrefix: PREFIX });
    for (const { name, state } of page.items) {
      const profile = state === "pending_deletion" ? undefined : profileOfProject(name);
      if (profile !== undefined) names.push(profile);
    }
    cursor = page.nextCursor;
    if (cursor === undefined) return names;
  }
  throw new KeysteadError("limit_reached", { detail: "Too many projects for one list" });
}
