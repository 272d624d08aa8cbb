import { z } from 'zod';
import { isFields, type Fields } from '../protocol/messages.js';
import { VERSION } from '../version.js';
import type { Route } from './route.js';
import { failed } from './schemas.js';

/** The OpenAPI 3.1 document of a table of routes. */
export function openApi(routes: readonly Route[]): Fields {
  const components: Fields = {};
  const described = (schema: z.core.$ZodType) => toSchema(schema, components);
  const failure = { description: 'A failure.', content: json(described(failed)) };
  const paths: Record<string, Fields> = {};
  for (const route of routes) {
    const { path, method, summary, input } = route;
    const operation = {
      operationId: idOf(route),
      summary,
      parameters: [
        ...parameters('path', input.params, described),
        ...parameters('query', input.query, described),
      ],
      ...(input.body ? { requestBody: { content: json(described(input.body)) } } : {}),
      responses: { ...successes(route, described), default: failure },
    };
    (paths[path] ??= {})[method.toLowerCase()] = operation;
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'mcp-session-proxy',
      version: VERSION,
      description: 'Sessions in front of MCP servers: made, found, used, changed and ended.',
    },
    servers: [{ url: '/api/v1' }],
    security: [{ token: [] }, {}],
    paths,
    components: {
      schemas: components,
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}

type Described = (schema: z.core.$ZodType) => Fields;

function successes({ statuses, result, follows }: Route, described: Described): Fields {
  const content = {
    ...json(described(result)),
    ...(follows ? { 'text/event-stream': { schema: { type: 'string' } } } : {}),
  };
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      status === 204
        ? { description: 'Done.' }
        : { description: status === 201 ? 'Made.' : 'The answer.', content },
    ]),
  );
}

function parameters(
  place: 'path' | 'query',
  schema: z.core.$ZodType | undefined,
  described: Described,
): Fields[] {
  if (!schema) return [];
  const object = described(schema);
  const required = Array.isArray(object.required) ? object.required : [];
  return Object.entries(propertiesOf(object)).map(([name, property]) => ({
    name,
    in: place,
    required: required.includes(name),
    // Lists are separated by commas.
    ...(place === 'query' ? { explode: false } : {}),
    schema: property,
  }));
}

function propertiesOf(schema: Fields): Fields {
  return isFields(schema.properties) ? schema.properties : {};
}

function json(schema: Fields): Fields {
  return { 'application/json': { schema } };
}

/** The JSON Schema of a type; what has a name of its own goes to the components. */
function toSchema(type: z.core.$ZodType, components: Fields): Fields {
  const text = JSON.stringify(z.toJSONSchema(type, { io: 'input', unrepresentable: 'any' }));
  const {
    $schema: _,
    $defs = {},
    ...schema
  } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/')) as Fields;
  if (isFields($defs)) for (const [name, one] of Object.entries($defs)) components[name] = withoutId(one);
  return schema;
}

function withoutId(schema: unknown): unknown {
  if (!isFields(schema)) return schema;
  const { id: _, ...rest } = schema;
  return rest;
}

/** `POST /sessions/{ref}/extend` as `postSessionsRefExtend`. */
function idOf({ method, path }: Route): string {
  const words = path.split(/[^a-zA-Z]+/).filter((word) => word !== '');
  return method.toLowerCase() + words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
}
