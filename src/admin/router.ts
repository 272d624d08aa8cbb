import { z } from 'zod';
import { ProxyError } from '../errors.js';
import { openApi } from './openapi.js';
import { route, type Route } from './route.js';
import { contentRoutes } from './routes/contents.js';
import { eventRoutes } from './routes/events.js';
import { proxyRoutes } from './routes/proxy.js';
import { sessionRoutes } from './routes/sessions.js';

const OPERATIONS = [...sessionRoutes, ...contentRoutes, ...eventRoutes, ...proxyRoutes];

let described: Record<string, unknown> | undefined;

/** Everything the API can do. */
export const ROUTES: readonly Route[] = [
  ...OPERATIONS,
  route({
    method: 'GET',
    path: '/openapi.json',
    summary: 'Describes the API in OpenAPI 3.1.',
    input: {},
    result: z.record(z.string(), z.unknown()),
    run: () => Promise.resolve((described ??= openApi(OPERATIONS))),
  }),
];

const TEMPLATES = ROUTES.map((one) => ({ route: one, segments: one.path.split('/') }));

/**
 * The operation at a path, with what stands there for its params.
 * @throws {ProxyError} NOT_FOUND, METHOD_NOT_ALLOWED, INVALID_PARAMS
 */
export function findRoute(method: string, path: string): { route: Route; params: Record<string, string> } {
  const segments = path.split('/').map(decode);
  const here = TEMPLATES.filter((template) => matches(template.segments, segments));
  const found = here.find((template) => template.route.method === method);
  if (found) return { route: found.route, params: paramsOf(found.segments, segments) };
  if (here.length === 0)
    throw new ProxyError('NOT_FOUND', 'Nothing is here. GET /api/v1/openapi.json tells what there is.');
  const allowed = here.map((template) => template.route.method);
  throw new ProxyError('METHOD_NOT_ALLOWED', `${method} is not allowed here. Use ${allowed.join(' or ')}.`, {
    details: { allowed },
  });
}

function matches(template: string[], segments: string[]): boolean {
  return (
    template.length === segments.length &&
    template.every((part, index) => (nameIn(part) ? segments[index] !== '' : part === segments[index]))
  );
}

function paramsOf(template: string[], segments: string[]): Record<string, string> {
  return Object.fromEntries(
    template.flatMap((part, index) => {
      const name = nameIn(part);
      return name === undefined ? [] : [[name, segments[index] ?? '']];
    }),
  );
}

/** Of `{name}`. */
function nameIn(part: string): string | undefined {
  return /^\{(\w+)\}$/.exec(part)?.[1];
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch (error) {
    throw new ProxyError(
      'INVALID_PARAMS',
      `The part "${segment.slice(0, 80)}" of the path is not percent-encoded UTF-8.`,
      { cause: error },
    );
  }
}
