import type { IncomingMessage, ServerResponse } from 'node:http';
import { asProxyError, type ErrorObject } from '../errors.js';
import { log } from '../logger.js';
import {
  isFields,
  isRequest,
  toResponse,
  type Message,
  type Notification,
  type Request,
} from '../protocol/messages.js';
import { checkHeaders, checkParamHeaders, type ParamHeader } from '../protocol/modern.js';
import { SSE_HEADERS, sseMessage } from '../protocol/sse.js';
import type { Target } from '../session/correlate.js';
import type { Store } from '../store/types.js';
import type { Caller } from './caller.js';
import type { RequestStream } from './held.js';
import type { Answer } from './legacy.js';
import type { ModernRequests, Running } from './modern.js';
import { keepAlive, writeUnlessUnread } from './sse-stream.js';

/** An answer that takes longer becomes a stream, whose heartbeats keep middleboxes from cutting it, milliseconds. */
const STREAM_AFTER = 10_000;

export interface ModernHttpOptions {
  requests: ModernRequests;
  store: Store;
  /** What a tool wants repeated in headers, as far as its list has been seen. */
  paramHeaders: (tool: string) => readonly ParamHeader[];
}

/** Streamable HTTP of 2026-07-28: each POST stands for itself, and a stream that is closed is a request cancelled. */
export class ModernHttp {
  readonly #options: ModernHttpOptions;
  readonly #listening = new Set<Running>();

  constructor(options: ModernHttpOptions) {
    this.#options = options;
  }

  async handle(
    { request, response, principal, local }: Caller,
    message: Message,
    target: () => Target,
  ): Promise<void> {
    if (!isRequest(message)) return void response.writeHead(202).end(); // none of its notifications is for us
    const reply = new ModernReply(request, response, this.#options.store);
    try {
      if (!local) this.#check(request, message);
      const running = this.#options.requests.begin(message, principal.id, target(), reply);
      response.once('close', () => {
        if (!response.writableFinished) running.cancel();
      });
      if (message.method === 'subscriptions/listen') this.#listening.add(running);
      reply.end(await running.answer.finally(() => this.#listening.delete(running)));
    } catch (thrown) {
      const error = asProxyError(thrown);
      if (error.code === 'INTERNAL') log.upstream.error({ err: thrown }, error.message);
      reply.end({ response: toResponse(message.id, { error: error.toJsonRpc() }) });
    }
  }

  /** Ends what is open for changes alone, so that clients know that it was on purpose. */
  close(): void {
    for (const { cancel } of this.#listening) cancel();
  }

  /** @throws {ProxyError} ENVELOPE_INVALID, UNSUPPORTED_VERSION, HEADER_MISMATCH */
  #check({ headers }: IncomingMessage, { method, params }: Request): void {
    const header = (name: string) => {
      const value = headers[name];
      return typeof value === 'string' ? value.trim() : undefined;
    };
    checkHeaders(header, method, params);
    if (method !== 'tools/call' || !isFields(params)) return;
    checkParamHeaders(header, this.#options.paramHeaders(String(params.name)), params.arguments);
  }
}

/** The answer to one POST: alone, or as the last message of a stream. Nothing of it is kept: it cannot be resumed. */
class ModernReply implements RequestStream {
  readonly #response: ServerResponse;
  readonly #store: Store;
  readonly #streams: boolean;
  readonly #late: NodeJS.Timeout;

  constructor({ headers }: IncomingMessage, response: ServerResponse, store: Store) {
    const { accept = '' } = headers;
    this.#response = response;
    this.#store = store;
    this.#streams = accept.includes('text/event-stream') || accept.includes('*/*');
    this.#late = setTimeout(() => this.#open(), STREAM_AFTER).unref();
    response.once('close', () => clearTimeout(this.#late));
  }

  send(message: Notification): void {
    if (!this.#streams || this.#response.destroyed) return;
    this.#open();
    writeUnlessUnread(this.#response, sseMessage(JSON.stringify(message)));
  }

  /** Stores what is to be stored, then answers. */
  end({ response: message, record }: Answer): void {
    clearTimeout(this.#late);
    if (!message) return void this.#response.end();
    const write = () => {
      const data = JSON.stringify(message);
      if (this.#response.headersSent) return void this.#response.end(sseMessage(data));
      const body = Buffer.from(data);
      const status = 'error' in message ? statusOf(message.error) : 200;
      this.#response
        .writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': body.length })
        .end(body);
    };
    if (!record) return write();
    this.#store.write(record).then(write, (error: Error) => {
      log.upstream.error(error.message); // the call has taken place: its answer is due all the same
      write();
    });
  }

  #open(): void {
    if (!this.#streams || this.#response.headersSent || this.#response.destroyed) return;
    this.#response.writeHead(200, SSE_HEADERS);
    this.#response.flushHeaders();
    keepAlive(this.#response);
  }
}

/** 2026-07-28, transports: failures of the revision itself have a status; all others travel in an answer like any other. */
function statusOf({ code, data }: ErrorObject): number {
  if (code === -32601) return 404;
  if (code <= -32020 && code >= -32022) return 400;
  return isFields(data) && data.code === 'ENVELOPE_INVALID' ? 400 : 200;
}
