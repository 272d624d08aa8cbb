import { z } from 'zod';
import { ProxyError } from '../errors.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { Door, EventView } from './door.js';
import { parseAs } from './explain.js';

/** A request as it came: what is in the path and after the question mark is text. */
export interface RawInput {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  /** Undefined without a body. */
  body: unknown;
}

/** An answer that goes on until somebody leaves. */
export class Live {
  /** The last event before it, should there be none to begin with. */
  readonly after: number;
  /** Sends all events from then on, until the returned function is called. */
  readonly start: (send: (event: EventView) => void) => Promise<() => void>;

  constructor(after: number, start: Live['start']) {
    this.after = after;
    this.start = start;
  }
}

export interface Answer {
  status: number;
  headers?: Readonly<Record<string, string>>;
  /** None is sent with 204. */
  body?: unknown;
}

type Input<Shape extends z.core.$ZodShape> = z.output<z.ZodObject<Shape, z.core.$strict>>;

/** One operation of the API, as its file writes it down. */
export interface Definition<Shape extends z.core.$ZodShape, Result extends z.ZodType> {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `{name}` for each param. */
  path: string;
  summary: string;
  /** Schemas of `params`, `query` and `body`, as far as it has them. */
  input: Shape;
  result: Result;
  /** Statuses of success, the usual one first; 200 by default, 204 means that the result is not told. */
  statuses?: readonly number[];
  run(door: Door, input: Input<Shape>): Promise<z.output<Result> | Live>;
  /** Where it is not the usual status and the result. */
  answer?(result: z.output<Result>): Answer;
}

/** The same for those who serve, route and describe it. */
export interface Route {
  readonly method: string;
  readonly path: string;
  readonly summary: string;
  readonly input: Readonly<Record<string, z.core.$ZodType>>;
  readonly result: z.ZodType;
  readonly statuses: readonly number[];
  /** Whether it can go on as a stream of events. */
  readonly follows: boolean;
  /** @throws {ProxyError} */
  handle(door: Door, raw: RawInput): Promise<Answer | Live>;
}

export function route<const Shape extends z.core.$ZodShape, Result extends z.ZodType>(
  definition: Definition<Shape, Result>,
): Route {
  const { method, path, summary, input, result, statuses = [200] } = definition;
  const schema = z.strictObject(input);
  const kinds = input.query && propertiesOf(input.query);
  return {
    method,
    path,
    summary,
    input,
    result,
    statuses,
    follows: kinds !== undefined && 'follow' in kinds,
    async handle(door, { params, query, body }) {
      if (!input.body && hasContent(body))
        throw new ProxyError('INVALID_PARAMS', `${method} ${path} takes no body. Send none.`);
      const [more] = kinds ? [] : Object.keys(query);
      if (more !== undefined)
        throw new ProxyError('INVALID_PARAMS', `query.${more} is not known here. Leave it out.`);
      const given = parseAs(schema, {
        ...(input.params ? { params } : {}),
        ...(kinds ? { query: readQuery(query, kinds) } : {}),
        ...(input.body ? { body: body ?? {} } : {}),
      });
      const done = await definition.run(door, given);
      if (done instanceof Live) return done;
      return definition.answer?.(done) ?? { status: statuses[0] ?? 200, body: done };
    },
  };
}

/** An empty object is what clients send that always send a body. */
function hasContent(body: unknown): boolean {
  return body !== undefined && !(isFields(body) && Object.keys(body).length === 0);
}

function propertiesOf(schema: z.core.$ZodType): Fields {
  const { properties } = z.toJSONSchema(schema, { io: 'input' });
  return isFields(properties) ? properties : {};
}

/** Numbers, booleans and lists out of the text of a query; what is none stays text, for the schema to refuse. */
function readQuery(query: RawInput['query'], kinds: Fields): Fields {
  return Object.fromEntries(
    Object.entries(query).map(([key, value]) => {
      const kind = kinds[key];
      return [key, readValue(value, isFields(kind) ? kind.type : undefined)];
    }),
  );
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);

function readValue(value: string, type: unknown): unknown {
  if (type === 'array') return value.split(',').filter((item) => item !== '');
  if (type === 'boolean') return BOOLEANS.get(value) ?? value;
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  return value;
}
