import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Authenticate } from '../auth/authenticate.js';
import type { Principal } from '../auth/principal.js';
import { ProxyError } from '../errors.js';
import type { Door } from './door.js';
import { Live, type Answer, type RawInput, type Route } from './route.js';
import { findRoute } from './router.js';
import { failureOf } from './routes/told.js';
import { EventStream } from './stream.js';

/** How often a client that waits is told to go on waiting, milliseconds; the fetch of Node waits five minutes. */
const PROCESSING = 30_000;

export interface ApiOptions {
  door: (who: Principal) => Door;
  /** @throws {ProxyError} BODY_TOO_LARGE, PARSE_ERROR */
  readBody: (request: IncomingMessage) => Promise<string>;
}

/** The HTTP API: who asks, what for, and the answer; all else is the door's. */
export class Api {
  readonly #options: ApiOptions;
  readonly #streams = new Set<EventStream>();

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /**
   * @param path what follows the API's own path
   * @throws {ProxyError} for `refuse`
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    { authenticate }: { authenticate: Authenticate },
  ): Promise<void> {
    const door = this.#options.door(await authenticate(request.headers));
    const { route, params } = findRoute(request.method ?? '', path);
    const query = queryOf(request, route);
    const body = await this.#body(request);
    const answer = await patiently(response, () => route.handle(door, { params, query, body }));
    if (!(answer instanceof Live)) return send(response, answer);
    const stream: EventStream = new EventStream(response, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    await stream.open(answer).catch((error: unknown) => {
      this.#streams.delete(stream);
      throw error;
    });
  }

  /** Ends what would go on for ever. */
  close(): void {
    for (const stream of this.#streams) stream.end();
  }

  async #body(request: IncomingMessage): Promise<unknown> {
    const { method, headers } = request;
    if (method === 'GET' || method === 'DELETE') return undefined;
    if (headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0)
      return undefined;
    if (
      !/^application\/json\b/i.test(headers['content-type'] ?? '') ||
      headers['content-encoding'] !== undefined
    ) {
      throw new ProxyError(
        'UNSUPPORTED_MEDIA_TYPE',
        'Send the body as "Content-Type: application/json", not encoded.',
      );
    }
    const text = await this.#options.readBody(request);
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new ProxyError('PARSE_ERROR', 'The request body is not valid JSON.', { cause: error });
    }
  }
}

/** While an answer takes its time, the client is told that it will come: some give up on a silent connection. */
async function patiently<T>(response: ServerResponse, job: () => Promise<T>): Promise<T> {
  const { req } = response;
  const tell = () => {
    if (req.httpVersionMinor > 0) response.writeProcessing();
  };
  const timer = setInterval(tell, PROCESSING).unref();
  return job().finally(() => clearInterval(timer));
}

/** Answers with a failure, in the words of the API. */
export function refuse(response: ServerResponse, error: ProxyError): void {
  if (response.headersSent) return void response.end();
  const { code, message, status, details } = error;
  const allowed = Array.isArray(details.allowed) ? details.allowed.join(', ') : undefined;
  send(response, {
    status,
    headers: {
      ...(allowed === undefined ? {} : { Allow: allowed }),
      ...(status === 503 ? { 'Retry-After': '5' } : {}),
      ...(code === 'SHUTTING_DOWN' ? { Connection: 'close' } : {}),
    },
    body: { error: failureOf(code, message, details) },
  });
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  const text = status === 204 ? undefined : JSON.stringify(body);
  response.writeHead(status, {
    'Cache-Control': 'no-store',
    ...(text === undefined
      ? {}
      : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
    ...headers,
  });
  response.end(text);
}

/** What stands after the question mark; the headers of a browser's EventSource count as well. */
function queryOf({ url = '', headers }: IncomingMessage, { follows }: Route): RawInput['query'] {
  const at = url.indexOf('?');
  const given = new URLSearchParams(at < 0 ? '' : url.slice(at + 1));
  const query: Record<string, string> = {};
  for (const name of new Set(given.keys())) query[name] = given.getAll(name).join(',');
  if (follows && headers.accept?.includes('text/event-stream')) query.follow ??= 'true';
  const last = headers['last-event-id'];
  if (follows && typeof last === 'string' && last !== '') query.after ??= last;
  return query;
}
