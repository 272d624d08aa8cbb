import { z } from 'zod';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';

type Issue = z.core.$ZodIssue;

/** What is told of a request with many faults. */
const MOST_TOLD = 3;

/**
 * The value that a schema makes of what came.
 * @throws {ProxyError} INVALID_PARAMS in a sentence for each place that is wrong
 */
export function parseAs<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const told = parsed.error.issues.flatMap((issue) => explain(issue, schema)).slice(0, MOST_TOLD);
  throw new ProxyError('INVALID_PARAMS', told.join(' '));
}

function explain(issue: Issue, schema: z.ZodType, above: PropertyKey[] = []): string[] {
  const path = [...above, ...issue.path];
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    return nearest(issue.errors).flatMap((inner) => explain(inner, schema, path));
  }
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(z.toJSONSchema(schema, { io: 'input' }), path);
    const names = known.length === 0 ? 'Leave it out.' : `Known: ${known.join(', ')}.`;
    return issue.keys.map((key) => `${[...path, key].join('.')} is not known here. ${names}`);
  }
  const what = issue.message.replace(/\.$/, '').replace(/^Invalid input: /, '');
  if (what.endsWith('received undefined')) return [`${path.join('.')} is missing.`];
  return [`${path.join('.')}: ${what}.`];
}

/** Of the alternatives of a union the one that was meant, by how far it was understood. */
function nearest(alternatives: Issue[][]): Issue[] {
  const depth = (issues: Issue[]) => Math.max(...issues.map(({ path }) => path.length));
  const [first = []] = [...alternatives].sort((a, b) => depth(b) - depth(a) || a.length - b.length);
  return first;
}

/** Names that a JSON Schema has at a place, in all its alternatives. */
function knownKeys(schema: unknown, path: PropertyKey[], defs: Fields = {}): string[] {
  if (!isFields(schema)) return [];
  const known = isFields(schema.$defs) ? schema.$defs : defs;
  if (typeof schema.$ref === 'string')
    return knownKeys(known[schema.$ref.replace('#/$defs/', '')], path, known);
  if (Array.isArray(schema.anyOf)) return schema.anyOf.flatMap((one) => knownKeys(one, path, known));
  const [key, ...rest] = path;
  const properties = isFields(schema.properties) ? schema.properties : {};
  if (key === undefined) return Object.keys(properties);
  return knownKeys(typeof key === 'number' ? schema.items : properties[String(key)], rest, known);
}
