/** `keystead project …`: projects, the tenants that keys and secrets belong to. */
import type { Command } from "commander";
import type { Project } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { asList } from "./list-options.ts";
import { parseDays } from "./numbers.ts";
import type { Fields } from "./output.ts";

/** Adds the group. */
export function addProjectCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("project")
    .description("make, list and delete projects, which keep keys and secrets apart");

  group
    .command("create")
    .description("make a project")
    .argument("<name>", "lower-case letters, digits, `.`, `_`, `-`")
    .action(async (name: string) => {
      const project = await context.client().project.create(name);
      await context.output().record(projectFields(project), project);
    });

  group
    .command("schedule-deletion")
    .description("refuse everything in a project, and destroy it with all that it holds later")
    .argument("<name>")
    .option("--days <days>", "when it is destroyed: in 7 to 30 days (30 unless set)")
    .action(async (name: string, flags: { days?: string }) => {
      const days = parseDays(flags.days, "--days");
      const project = await context.client().project.scheduleDeletion(name, { days });
      await context.output().record(projectFields(project), project);
    });

  group
    .command("cancel-deletion")
    .description("keep a project that was to be deleted")
    .argument("<name>")
    .action(async (name: string) => {
      const project = await context.client().project.cancelDeletion(name);
      await context.output().record(projectFields(project), project);
    });

  asList(group.command("list").description("list the projects that you may see"), context, {
    name: "projects",
    async page(range) {
      const { projects, next_cursor: nextCursor } = await context.client().project.list(range);
      return { items: projects, nextCursor };
    },
    fields: ({ name, id, state, created_at }) => ({ name, id, state, created_at }),
  });
}

function projectFields({ name, id, state, created_at, deletion_at }: Project): Fields {
  return { name, id, state, created_at, deletion_at };
}
