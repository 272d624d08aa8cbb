import { z } from 'zod';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';

/** What is told of a request with many faults. */
const MOST_TOLD = 3;

/**
 * What a schema makes of a request.
 * @throws {ProxyError} INVALID_PARAMS in a sentence for each place that is wrong
 */
export function parseAs<Schema extends z.ZodObject>(schema: Schema, value: Fields): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const meant = withOneBody(schema, value.body);
  const issues: z.core.$ZodIssue[] = (meant.safeParse(value).error ?? parsed.error).issues;
  const told = issues.flatMap((issue) => explain(issue, meant)).slice(0, MOST_TOLD);
  throw new ProxyError('INVALID_PARAMS', told.join(' '));
}

/** The schema with that alternative for a body which knows most of its names: zod alone would guess another. */
function withOneBody(schema: z.ZodObject, body: unknown): z.ZodObject {
  const alternatives: unknown = schema.shape.body;
  if (!(alternatives instanceof z.ZodUnion)) return schema;
  const given = isFields(body) ? Object.keys(body) : [];
  const known = (one: z.core.$ZodType) => {
    const names = knownKeys(z.toJSONSchema(one, { io: 'input' }), []);
    return given.filter((name) => names.includes(name)).length;
  };
  const [best = alternatives] = [...alternatives.options].sort((a, b) => known(b) - known(a));
  return schema.extend({ body: best });
}

function explain(issue: z.core.$ZodIssue, schema: z.ZodObject): string[] {
  const { path } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(z.toJSONSchema(schema, { io: 'input' }), path);
    const names = known.length === 0 ? 'Leave it out.' : `Known: ${known.join(', ')}.`;
    return issue.keys.map((key) => `${[...path, key].join('.')} is not known here. ${names}`);
  }
  const what = issue.message.replace(/\.$/, '').replace(/^Invalid input: /, '');
  if (what.endsWith('received undefined')) return [`${path.join('.')} is missing.`];
  return [`${path.join('.')}: ${what}.`];
}

/** Names that a JSON Schema has at a place. */
function knownKeys(schema: unknown, path: PropertyKey[], defs: Fields = {}): string[] {
  if (!isFields(schema)) return [];
  const known = isFields(schema.$defs) ? schema.$defs : defs;
  if (typeof schema.$ref === 'string')
    return knownKeys(known[schema.$ref.replace('#/$defs/', '')], path, known);
  const [key, ...rest] = path;
  const properties = isFields(schema.properties) ? schema.properties : {};
  if (key === undefined) return Object.keys(properties);
  return knownKeys(typeof key === 'number' ? schema.items : properties[String(key)], rest, known);
}
