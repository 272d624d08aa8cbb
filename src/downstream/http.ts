import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isRequest, toMessage, type Id, type Message } from '../protocol/messages.js';
import { RemoteNotes, type Remember, type RemoteSession } from './remote-session.js';
import type { Expected, Transport } from './types.js';

/** A stream that breaks is taken up again; the SDK's own default gives up after two tries. */
const RECONNECTION = {
  initialReconnectionDelay: 500,
  reconnectionDelayGrowFactor: 1.5,
  maxReconnectionDelay: 30_000,
  maxRetries: 20,
};

/** How long the handshake waits for the server's own stream to open, milliseconds. */
const STREAM_WAIT = 2000;

/** Waits between tries to go on with a stream, milliseconds. */
const TAKE_UP_WAITS = [300, 1000, 3000, 10_000];

/** An answer is stored so soon after it came; until then another process could have it sent again. Milliseconds. */
const UNTIL_STORED = 1000;

export interface HttpOptions {
  server: string;
  url: string;
  headers: Record<string, string>;
  /** Bytes of one answer. */
  maxMessage: number;
}

/** A session whose handshake an earlier process did. */
export interface HeldSession {
  remote: RemoteSession;
  protocolVersion?: string;
  /** Requests whose answers are waited for. */
  expected: readonly Expected[];
}

export interface SessionOptions extends HttpOptions {
  remember: Remember;
  held?: HeldSession;
}

/** The stream of one request. */
interface Call {
  transport: StreamableHTTPClientTransport;
  onevent: (event: string) => void;
  done: () => void;
  /** No answer will come. */
  lost: () => void;
}

/**
 * Streamable HTTP over the SDK's client transport, taken raw: one transport posts what is no request, one holds the
 * server's own stream, and each request gets one of its own, because only that tells on whose stream a message came.
 */
export class HttpTransport implements Transport {
  onmessage: Transport['onmessage'] = () => {};
  onfailed: Transport['onfailed'] = () => {};
  onclose: Transport['onclose'] = () => {};
  readonly pid = undefined;
  readonly #options: SessionOptions;
  readonly #notes: RemoteNotes;
  readonly #main: StreamableHTTPClientTransport;
  #own: StreamableHTTPClientTransport | undefined;
  readonly #calls = new Set<StreamableHTTPClientTransport>();
  #protocolVersion: string | undefined;
  #closing: Promise<void> | undefined;
  #over = false;

  constructor(options: SessionOptions) {
    const { server, held, remember } = options;
    this.#options = options;
    this.#notes = new RemoteNotes(remember, held?.remote);
    this.#protocolVersion = held?.protocolVersion;
    // Of itself it would open the server's stream too, and not say where that can be resumed.
    const post: FetchLike = (url, init) =>
      init?.method === 'GET' ? Promise.resolve(new Response(null, { status: 405 })) : fetch(url, init);
    this.#main = this.#transport(post, held?.remote.id);
    this.#main.onmessage = (message) => this.#receive(message);
    this.#main.onerror = (error) => log.downstream.debug({ server }, error.message);
  }

  async start(): Promise<void> {
    await this.#main.start();
    const { held } = this.#options;
    if (!held) return;
    void this.#openStream(held.remote.event);
    const { remote, expected } = held;
    for (const { id, answer } of expected) {
      if (answer === undefined) void this.#resume(id, remote.calls.get(id));
      else this.#notes.answered(id);
    }
    for (const id of remote.calls.keys()) if (!expected.some((one) => one.id === id)) this.#giveUp(id);
  }

  async send(message: Message): Promise<void> {
    if (!isRequest(message) || message.method === 'initialize') return this.#post(this.#main, message);
    const { transport, onevent, done } = this.#call(message.id);
    await transport.start();
    try {
      await this.#post(transport, message, onevent);
    } catch (error) {
      done();
      throw error;
    }
  }

  async initialized(protocolVersion: string): Promise<void> {
    this.#protocolVersion = protocolVersion;
    this.#main.setProtocolVersion(protocolVersion);
    await this.#post(this.#main, { jsonrpc: '2.0', method: 'notifications/initialized' });
    // What the server sends before its stream is open would be lost.
    await Promise.race([
      this.#openStream(),
      new Promise((resolve) => setTimeout(resolve, STREAM_WAIT).unref()),
    ]);
  }

  get sessionless(): boolean {
    return this.#main.sessionId === undefined;
  }

  label(text: string): void {
    this.#notes.session(text, this.#main.sessionId);
  }

  diagnosis(): string {
    return ` It is at ${this.#options.url}.`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#notes.forget();
    for (const call of this.#calls) await call.close();
    this.#calls.clear();
    // 2025-11-25, session management: a client that is done with a session SHOULD send DELETE.
    await this.#main.terminateSession().catch((error: unknown) => {
      log.downstream.debug({ server: this.#options.server }, `DELETE: ${messageOf(error)}`);
    });
    await this.#own?.close();
    await this.#main.close();
    this.#end('was closed');
  }

  #transport(fetch: FetchLike, session?: string): StreamableHTTPClientTransport {
    const transport = new StreamableHTTPClientTransport(new URL(this.#options.url), {
      requestInit: { headers: this.#options.headers },
      reconnectionOptions: RECONNECTION,
      fetch,
      ...(session === undefined ? {} : { sessionId: session }),
    });
    if (this.#protocolVersion !== undefined) transport.setProtocolVersion(this.#protocolVersion);
    return transport;
  }

  /** The server's own stream, from now on or after `event`. Not every server has one. */
  async #openStream(event?: string): Promise<void> {
    const { server } = this.#options;
    const own = this.#transport(fetch, this.#main.sessionId);
    this.#own = own;
    own.onmessage = (message) => this.#receive(message);
    own.onerror = (error) => log.downstream.debug({ server }, error.message);
    await own.start();
    const onevent = (id: string) => this.#notes.streamed(id);
    await takeUp(own, event, onevent).catch(() => {}); // told to onerror
  }

  /** A transport for the stream of one request. @param last event of it, where it is resumed */
  #call(id: Id, last?: string): Call {
    const done = () => {
      if (!this.#calls.delete(transport)) return;
      void transport.close();
      if (typeof id === 'number' && last !== undefined)
        setTimeout(() => this.#notes.answered(id), UNTIL_STORED).unref();
    };
    const lost = () => {
      if (!this.#calls.has(transport)) return;
      done();
      this.#unanswered(id);
    };
    const ended = () => {
      if (last === undefined) lost();
    };
    const transport = this.#transport(async (url, init) => {
      const response = await fetch(url, init && after(last, init));
      // Who has forgotten the stream, or the session, remembers it no better the next time.
      if (init?.method === 'GET' && isFinal(response.status)) lost();
      return watchEnd(response, ended, this.#options.maxMessage);
    }, this.#main.sessionId);
    this.#calls.add(transport);
    transport.onmessage = (answer) => {
      this.#receive(answer, id);
      // Not closed in time, it would ask for a stream whose request is answered.
      if (!('method' in answer)) done();
    };
    transport.onerror = (error) => {
      if (error.message.startsWith('SSE stream disconnected')) ended();
      if (error.message.startsWith('Maximum reconnection attempts')) lost();
    };
    const onevent = (event: string) => {
      last = event;
      // The message of an event comes right after its id. That of the answer is not noted: it is not stored yet.
      queueMicrotask(() => {
        if (typeof id === 'number' && this.#calls.has(transport)) this.#notes.called(id, event);
      });
    };
    return { transport, onevent, done, lost };
  }

  /** Takes up the stream of a request that an earlier process sent. */
  async #resume(id: number, event: string | undefined): Promise<void> {
    if (event === undefined) return this.#unanswered(id);
    const { transport, onevent, lost } = this.#call(id, event);
    await transport.start();
    await takeUp(transport, event, onevent).catch(lost);
  }

  /** Nobody is left to take the answer. */
  #giveUp(id: number): void {
    this.#notes.answered(id);
    const params = { requestId: id, reason: 'The client has gone.' };
    this.#post(this.#main, { jsonrpc: '2.0', method: 'notifications/cancelled', params }).catch(
      (error: unknown) => log.downstream.debug({ server: this.#options.server }, messageOf(error)),
    );
  }

  #receive(value: unknown, cause?: Id): void {
    try {
      this.onmessage(toMessage(value), cause);
    } catch (error) {
      log.downstream.warn({ server: this.#options.server }, messageOf(error));
    }
  }

  async #post(
    transport: StreamableHTTPClientTransport,
    message: Message,
    onresumptiontoken: (event: string) => void = () => {},
  ): Promise<void> {
    try {
      await transport.send(message, { onresumptiontoken });
    } catch (error) {
      throw this.#explain(error, message);
    }
  }

  #explain(error: unknown, message: Message): ProxyError {
    const { server, url } = this.#options;
    if (error instanceof StreamableHTTPError && error.code !== undefined) {
      // A refused request was not carried out. 404 to a session id: the server has forgotten it.
      if (error.code === 404 && this.#main.sessionId !== undefined)
        this.#end('has ended the session (HTTP 404)');
      return new ProxyError(
        'SERVER_UNAVAILABLE',
        `Server "${server}" refused the request: ${error.message}`,
        { cause: error },
      );
    }
    // fetch says "fetch failed" and keeps the reason for itself.
    const cause = (error as { cause?: { code?: string; message?: string } }).cause;
    const unsent = cause?.code === 'ECONNREFUSED' || cause?.code === 'ENOTFOUND';
    if (unsent || !isRequest(message) || message.method === 'initialize') {
      const text = `Server "${server}" cannot be reached at ${url}: ${cause?.message ?? messageOf(error)}. Check servers.${server}.url.`;
      return new ProxyError('SERVER_UNAVAILABLE', text, { cause: error });
    }
    return new ProxyError(
      'OUTCOME_UNKNOWN',
      `The connection to server "${server}" broke: ${messageOf(error)}.`,
      { cause: error },
    );
  }

  #unanswered(id: Id): void {
    const failure = new ProxyError(
      'OUTCOME_UNKNOWN',
      `Server "${this.#options.server}" ended the stream without an answer. Whether the request took effect is unknown.`,
    );
    this.onfailed(id, failure);
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#notes.forget();
    this.onclose(reason);
  }
}

/** Whether a server that answers so would do it again. 409: it has not noticed yet that the last connection is gone. */
function isFinal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 409 && status !== 429;
}

/** Goes on with a stream, as soon as the server can be reached and lets it go on. */
async function takeUp(
  transport: StreamableHTTPClientTransport,
  event: string | undefined,
  onresumptiontoken: (event: string) => void,
): Promise<void> {
  for (const wait of TAKE_UP_WAITS) {
    try {
      return await transport.resumeStream(event ?? '', { onresumptiontoken });
    } catch (error) {
      const again =
        error instanceof StreamableHTTPError ? !isFinal(error.code ?? 0) : error instanceof TypeError;
      if (!again) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait).unref());
    }
  }
  return transport.resumeStream(event ?? '', { onresumptiontoken });
}

/** A stream that is taken up again before an event came on it: the SDK forgets where it was. */
function after(event: string | undefined, init: RequestInit): RequestInit {
  if (event === undefined || init.method !== 'GET') return init;
  const headers = new Headers(init.headers);
  headers.set('Last-Event-ID', event);
  return { ...init, headers };
}

/**
 * The SDK does not say when a stream ends without an answer; `ended` is called a moment after the body's last byte. A
 * body beyond `limit` bytes breaks off.
 */
function watchEnd(response: Response, ended: () => void, limit: number): Response {
  if (!response.body || !response.ok) return response;
  let length = 0;
  const watch = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      length += chunk.length;
      if (length > limit)
        controller.error(new Error(`the answer is larger than ${limit} bytes (maxMessage)`));
      else controller.enqueue(chunk);
    },
    flush: () => void setTimeout(ended, 100).unref(),
  });
  return new Response(response.body.pipeThrough(watch), response);
}
