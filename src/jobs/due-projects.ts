/**
 * Projects whose deletion window has passed: their keys are destroyed, their secrets and
 * credentials removed, then the project itself.
 * Invariant: the project's record goes last, so that an interrupted destruction is found again and goes on; every key,
 * secret and credential that goes has its own audit entry.
 */
import type { CommitChange } from "../audit/change.ts";
import type { Credentials } from "../credentials/credentials.ts";
import { isDue, type Project, type Projects } from "../identity/projects.ts";
import type { Keyring } from "../keyring/keyring.ts";
import type { Secrets } from "../secrets/secrets.ts";
import { causeOf, type Log } from "../telemetry/log.ts";
import { dueInPages } from "./due-pages.ts";
import type { Job } from "./job-runner.ts";

const ROUND_ROWS = 100;
const everything = (): boolean => true;

export interface DueProjectsOptions {
  readonly projects: Projects;
  readonly keyring: Keyring;
  readonly secrets: Secrets;
  readonly credentials: Credentials;
  readonly log: Log;
  readonly now: () => number;
  /** False after the clock jumped: nothing is destroyed by a time that may be wrong. */
  readonly isClockSteady: () => boolean;
  /** How the service commits what nobody asked for at this moment. */
  readonly commitOwn: (
    action: "key.destroy" | "secret.delete" | "credential.delete" | "project.destroy",
    project: Project,
  ) => CommitChange;
}

/** The job of due projects. */
export function dueProjects(options: DueProjectsOptions): Job {
  const { projects, log, now } = options;
  return {
    name: "due-projects",
    async run(stopped) {
      if (!options.isClockSteady()) return;
      for await (const { id } of dueInPages((after, rows) => projects.due(now(), after, rows))) {
        try {
          const project = await projects.byId(id);
          if (project === undefined || !isDue(project, now())) continue;
          if (!(await destroyContent(options, project, stopped))) return;
          await projects.destroy(project.name, now(), options.commitOwn("project.destroy", project));
        } catch (error) {
          log.error("a due project could not be destroyed and is tried again", {
            project: id,
            cause: causeOf(error),
          });
        }
      }
    },
  };
}

/** False where it was stopped on the way. */
async function destroyContent(
  { keyring, secrets, credentials, commitOwn }: DueProjectsOptions,
  project: Project,
  stopped: () => boolean,
): Promise<boolean> {
  for (let after: string | undefined = ""; after !== undefined;) {
    const { items, lastName } = await keyring.list(project.id, after, ROUND_ROWS, everything);
    for (const { id, state } of items) {
      if (stopped()) return false;
      if (state !== "destroyed")
        await keyring.destroyWithProject(project.id, id, commitOwn("key.destroy", project));
    }
    after = lastName;
  }
  for (let after: string | undefined = ""; after !== undefined;) {
    const { items, lastName } = await secrets.list(project.id, after, ROUND_ROWS, everything);
    for (const { name } of items) {
      if (stopped()) return false;
      await secrets.remove(project.id, name, commitOwn("secret.delete", project));
    }
    after = lastName;
  }
  for (;;) {
    const ids = await credentials.ids(project.id, ROUND_ROWS);
    if (ids.length === 0) return true;
    for (const id of ids) {
      if (stopped()) return false;
      await credentials.removeById(id, commitOwn("credential.delete", project));
    }
  }
}
