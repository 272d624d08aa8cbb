import {
  StreamableHTTPClientTransport,
  StreamableHTTPError,
} from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { FetchLike } from '@modelcontextprotocol/sdk/shared/transport.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isRequest, toMessage, type Id, type Message, type Request } from '../protocol/messages.js';
import type { Transport } from './types.js';

/** A stream that breaks is taken up again; the SDK's own default gives up after two tries. */
const RECONNECTION = {
  initialReconnectionDelay: 500,
  reconnectionDelayGrowFactor: 1.5,
  maxReconnectionDelay: 30_000,
  maxRetries: 20,
};

/** How long the handshake waits for the server's own stream to open, milliseconds. */
const STREAM_WAIT = 2000;

export interface HttpOptions {
  server: string;
  url: string;
  headers: Record<string, string>;
  /** Bytes of one answer. */
  maxMessage: number;
}

/**
 * Streamable HTTP over the SDK's client transport, taken raw: one transport holds the session and the server's own
 * stream, and each request gets one of its own, because only that tells on whose stream a message came.
 */
export class HttpTransport implements Transport {
  onmessage: Transport['onmessage'] = () => {};
  onfailed: Transport['onfailed'] = () => {};
  onclose: Transport['onclose'] = () => {};
  readonly pid = undefined;
  readonly #options: HttpOptions;
  readonly #main: StreamableHTTPClientTransport;
  readonly #calls = new Set<StreamableHTTPClientTransport>();
  readonly #streamOpen: Promise<void>;
  #reportStream: () => void = () => {};
  #protocolVersion: string | undefined;
  #closing: Promise<void> | undefined;
  #over = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#streamOpen = new Promise((resolve) => (this.#reportStream = resolve));
    this.#main = this.#transport(async (url, init) => {
      const response = await fetch(url, init);
      if (init?.method === 'GET') this.#reportStream();
      return response;
    });
    this.#main.onmessage = (message) => this.#receive(message);
    this.#main.onerror = (error) => log.downstream.debug({ server: options.server }, error.message);
  }

  start(): Promise<void> {
    return this.#main.start();
  }

  async send(message: Message): Promise<void> {
    if (!isRequest(message) || message.method === 'initialize') return this.#post(this.#main, message);
    let resumable = false;
    const ended = () => {
      if (!resumable && this.#calls.has(transport)) this.#lost(message, done);
    };
    const transport = this.#transport(
      async (url, init) => watchEnd(await fetch(url, init), ended, this.#options.maxMessage),
      this.#main.sessionId,
    );
    const done = () => {
      if (this.#calls.delete(transport)) void transport.close();
    };
    this.#calls.add(transport);
    transport.onmessage = (answer) => {
      this.#receive(answer, message.id);
      // Not closed in time, it would ask for a stream whose request is answered.
      if (!('method' in answer)) done();
    };
    transport.onerror = (error) => {
      if (error.message.startsWith('SSE stream disconnected')) ended();
      if (error.message.startsWith('Maximum reconnection attempts')) this.#lost(message, done);
    };
    await transport.start();
    try {
      await this.#post(transport, message, () => (resumable = true));
    } catch (error) {
      done();
      throw error;
    }
  }

  async initialized(protocolVersion: string): Promise<void> {
    this.#protocolVersion = protocolVersion;
    this.#main.setProtocolVersion(protocolVersion);
    await this.#post(this.#main, { jsonrpc: '2.0', method: 'notifications/initialized' });
    // The SDK opens the server's stream after this notification without waiting: what the server sends meanwhile is lost.
    await Promise.race([
      this.#streamOpen,
      new Promise((resolve) => setTimeout(resolve, STREAM_WAIT).unref()),
    ]);
  }

  label(): void {}

  diagnosis(): string {
    return ` It is at ${this.#options.url}.`;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const call of this.#calls) await call.close();
    this.#calls.clear();
    // 2025-11-25, session management: a client that is done with a session SHOULD send DELETE.
    await this.#main.terminateSession().catch((error: unknown) => {
      log.downstream.debug({ server: this.#options.server }, `DELETE: ${messageOf(error)}`);
    });
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
    onresumptiontoken = () => {},
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

  #lost(request: Request, done: () => void): void {
    done();
    const failure = new ProxyError(
      'OUTCOME_UNKNOWN',
      `Server "${this.#options.server}" ended the stream without an answer. Whether the request took effect is unknown.`,
    );
    this.onfailed(request.id, failure);
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.onclose(reason);
  }
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
