/**
 * A facade's rows as OpenAPI operations, all in one group; errors have the shape of its own.
 * Invariant: every spelling of a path is described; its operation id is made of the facade's name, the method and the
 * row's path, and so is no other's.
 */
import {
  bodyExamples,
  idempotencyKeyParameter,
  parametersOf,
  projectParameter,
  replayedHeader,
  requestIdParameter,
  schemaOf,
  type Json,
} from "../openapi-fields.ts";
import { rowKey, type AnyFacadeRoute, type Facade } from "./facade.ts";

/** The facade's paths, each with its methods. */
export function describeFacade(facade: Facade): Record<string, Json> {
  const paths: Record<string, Json> = {};
  const rows = facade.routes.flatMap((row) =>
    [row.path, ...(row.alsoAt ?? [])].map((path, place) => ({ row, path, place })),
  );
  // Other spellings come after everything has been said once.
  for (const { row, path, place } of rows.toSorted((a, b) => a.place - b.place)) {
    (paths[path] ??= {})[row.method.toLowerCase()] = describe(facade, row, place);
  }
  return paths;
}

/** The group that its rows stand in. */
export function facadeGroup(facade: Facade): Json {
  return { name: titleOf(facade), description: facade.description };
}

/** The schemas that its rows refer to. */
export function facadeSchemas(facade: Facade): Record<string, Json> {
  const schema = facade.errors?.schema;
  return schema === undefined ? {} : { [errorName(facade)]: schemaOf(schema, "output") };
}

function describe(facade: Facade, row: AnyFacadeRoute, place: number): Json {
  const example = facade.examples?.[rowKey(row)];
  const { operation, open, body, response } = row;
  const changes = operation?.replay !== undefined;
  const parameters = [
    ...parametersOf(row.params, "path", example),
    ...parametersOf(row.query, "query"),
    ...(facade.takesProject === true && open !== true ? [projectParameter] : []),
    ...(open === true ? [] : (facade.headers ?? [])),
    ...(changes ? [idempotencyKeyParameter] : []),
    requestIdParameter,
  ];
  return {
    operationId: operationId(facade, row, place),
    tags: [titleOf(facade)],
    summary: row.summary,
    ...(open === true ? { security: [] } : {}),
    ...(place === 0 ? {} : { description: `Another spelling of \`${rowKey(row)}\`.` }),
    parameters,
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !body.safeParse(undefined).success,
            content: { "application/json": { schema: schemaOf(body, "input"), ...bodyExamples(example) } },
          },
        }),
    responses: {
      [row.status]: {
        description: "Done",
        ...(changes ? { headers: replayedHeader } : {}),
        ...(response === undefined
          ? {}
          : { content: { "application/json": { schema: schemaOf(response, "output") } } }),
      },
      default: { description: "Refused or failed", content: errorContent(facade) },
    },
  };
}

function errorContent(facade: Facade): Json {
  const { errors } = facade;
  if (errors === undefined) return { "*/*": {} };
  const schema = errors.schema === undefined ? {} : { $ref: `#/components/schemas/${errorName(facade)}` };
  return { [errors.contentType]: { schema } };
}

function operationId({ name }: Facade, { method, path }: AnyFacadeRoute, place: number): string {
  const words = path.split("/").filter((segment) => segment !== "");
  const id = [name, method.toLowerCase(), ...words.map((word) => word.replaceAll(/[{}]/g, ""))].join(".");
  return place === 0 ? id : `${id}.${place + 1}`;
}

function titleOf({ title, name }: Facade): string {
  return title ?? name;
}

function errorName({ name }: Facade): string {
  return `${name}.Error`;
}
