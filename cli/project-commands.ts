/** `keystead project …`: projects, the tenants that keys and secrets belong to. */
import type { Command } from "commander";
import type { Project } from "../sdk/wire.ts";
import type { CommandContext } from "./command-context.ts";
import { asList } from "./list-options.ts";
import type { Fields } from "./output.ts";

/** Adds the group. */
export function addProjectCommands(program: Command, context: CommandContext): void {
  const group = program
    .command("project")
    .description("make and list projects, which keep keys and secrets apart");

  group
    .command("create")
    .description("make a project")
    .argument("<name>", "lower-case letters, digits, `.`, `_`, `-`")
    .action(async (name: string) => {
      const project = await context.client().project.create(name);
      await context.output().record(projectFields(project), project);
    });

  asList(group.command("list").description("list the projects that you may see"), context, {
    name: "projects",
    async page(range) {
      const { projects, next_cursor: nextCursor } = await context.client().project.list(range);
      return { items: projects, nextCursor };
    },
    fields: projectFields,
  });
}

function projectFields({ name, id, created_at }: Project): Fields {
  return { name, id, created_at };
}
