import { Agent, request as requestHttp, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as requestHttps } from 'node:https';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { HEADER_MISMATCH } from '../protocol/envelope.js';
import {
  isFields,
  isId,
  isRequest,
  isResponse,
  toMessage,
  type Id,
  type Message,
  type Request,
} from '../protocol/messages.js';
import { headersOf } from '../protocol/modern.js';
import { EventSplitter } from '../protocol/sse.js';
import { TCP_OPTIONS } from '../protocol/tcp.js';
import type { HttpOptions } from './http.js';
import { ToolHeaders } from './tool-headers.js';
import type { Transport } from './types.js';

/** A free connection is given up before most servers close it: no request is to meet a closing one. Milliseconds. */
const FREE_CONNECTION = 4000;

/** How long calls wait for an answer that only their headers need, milliseconds; they do without it then. */
const OWN_REQUEST_WAIT = 10_000;

/** How much of an error page is quoted, characters. */
const QUOTED = 200;

/** Errors before a byte was sent. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** Where the messages of one POST go. */
interface Sink {
  message: (message: Message) => void;
  failed: (error: ProxyError) => void;
}

/**
 * Streamable HTTP of 2026-07-28: a POST for each message, and what answers it. There is no session and no stream of the
 * server's own; a request is cancelled by closing its connection. Redirections are not followed: they would carry the
 * configured headers elsewhere.
 */
export class ModernHttpTransport implements Transport {
  onmessage: Transport['onmessage'] = () => {};
  onfailed: Transport['onfailed'] = () => {};
  onclose: Transport['onclose'] = () => {};
  readonly pid = undefined;
  readonly sessionless = true;
  readonly #options: HttpOptions;
  readonly #url: URL;
  readonly #agent: Agent;
  readonly #running = new Map<Id, AbortController>();
  readonly #tools = new ToolHeaders((request) => this.#ask(request));
  #over = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    const agent = { ...TCP_OPTIONS, timeout: FREE_CONNECTION };
    this.#agent = this.#url.protocol === 'https:' ? new SecureAgent(agent) : new Agent(agent);
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  initialized(): Promise<void> {
    return Promise.resolve();
  }

  async send(message: Message): Promise<void> {
    if (isRequest(message)) return this.#request(message);
    if (isResponse(message)) return; // nothing is asked that could be answered so
    if (message.method === 'notifications/cancelled') {
      // Cancellation: closing the connection MUST be taken for it.
      const { requestId } = message.params ?? {};
      if (isId(requestId)) this.#running.get(requestId)?.abort();
      return;
    }
    await this.#post(message, {}, { message: () => {}, failed: () => {} }, new AbortController().signal);
  }

  label(): void {}

  diagnosis(): string {
    return ` It is at ${this.#options.url}.`;
  }

  close(): Promise<void> {
    for (const running of this.#running.values()) running.abort();
    this.#agent.destroy();
    if (!this.#over) {
      this.#over = true;
      this.onclose('was closed');
    }
    return Promise.resolve();
  }

  async #request(request: Request): Promise<void> {
    const { id } = request;
    const abort = new AbortController();
    this.#running.set(id, abort);
    const done = () => this.#running.delete(id);
    let mayRepeat = request.method === 'tools/call';
    const sink: Sink = {
      failed: (error) => {
        if (done()) this.onfailed(id, error);
      },
      message: (message) => {
        if (!isResponse(message)) return this.onmessage(message, id);
        if (message.id !== id) return; // of another request: its stream is another one
        const refused = 'error' in message && message.error.code === HEADER_MISMATCH;
        if (refused && mayRepeat) {
          mayRepeat = false;
          // A request refused for its headers was not carried out; the tool's schema is not what it was.
          const again = this.#tools
            .refresh(request)
            .then((headers) => this.#post(request, headers, sink, abort.signal));
          return void again.catch((error: unknown) => sink.failed(asProxyError(error)));
        }
        if (!done()) return;
        this.#tools.learn(request, message);
        this.onmessage(message, id);
      },
    };
    try {
      const headers = mayRepeat ? await this.#tools.of(request) : {};
      if (!abort.signal.aborted) await this.#post(request, headers, sink, abort.signal);
    } catch (error) {
      if (!abort.signal.aborted) throw error;
    } finally {
      if (abort.signal.aborted) done();
    }
  }

  /** A request of our own. @throws {ProxyError} as `send`, and what would have been told as failed */
  #ask(request: Request): Promise<Message> {
    return new Promise((resolve, reject) => {
      const message = (answer: Message) => {
        if (isResponse(answer)) resolve(answer);
      };
      const late = AbortSignal.timeout(OWN_REQUEST_WAIT);
      late.addEventListener('abort', () => reject(this.#unknown('did not answer')), { once: true });
      this.#post(request, {}, { message, failed: reject }, late).catch(reject);
    });
  }

  /** Resolves when the server has taken the message; a stream goes on after that. */
  async #post(
    message: Message,
    more: Record<string, string>,
    sink: Sink,
    signal: AbortSignal,
  ): Promise<void> {
    const response = await this.#open(message, more, signal);
    const status = response.statusCode ?? 0;
    const fine = status >= 200 && status < 300;
    if (!isRequest(message)) {
      response.resume();
      if (!fine) throw this.#refused(status, '');
      return;
    }
    if (fine && response.headers['content-type']?.startsWith('text/event-stream'))
      return this.#readStream(response, message, sink, signal);
    const text = await this.#readText(response);
    const answer = parsed(text);
    // Whatever the status, a JSON-RPC answer is one. That of an error may name no request.
    if (isFields(answer) && !('method' in answer) && (fine || isFields(answer.error)))
      return sink.message(this.#message({ ...answer, jsonrpc: '2.0', id: message.id }));
    if (!fine) throw this.#refused(status, text);
    throw this.#unknown(`answered with what is no JSON object (HTTP ${status})`);
  }

  #open(message: Message, more: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    const body = Buffer.from(JSON.stringify(message));
    const headers = {
      ...this.#options.headers,
      Accept: 'application/json, text/event-stream',
      'Content-Type': 'application/json',
      'Content-Length': String(body.length),
      ...('method' in message ? headersOf(message.method, message.params) : {}),
      ...more,
    };
    const send = this.#url.protocol === 'https:' ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      const request = send(this.#url, { method: 'POST', headers, agent: this.#agent, signal }, resolve);
      request.on('error', (error: NodeJS.ErrnoException) => reject(this.#explain(error)));
      request.end(body);
    });
  }

  #readStream(response: IncomingMessage, { id }: Request, sink: Sink, signal: AbortSignal): void {
    let answered = false;
    const events = new EventSplitter(this.#options.maxMessage, {
      data: (text) => {
        let message: Message;
        try {
          message = this.#message(parsed(text));
        } catch (error) {
          return log.downstream.warn({ server: this.#options.server }, messageOf(error));
        }
        if (isResponse(message) && message.id === id) answered = true;
        sink.message(message);
      },
      tooLong: () => {
        answered = true;
        sink.failed(this.#tooLong());
        response.destroy();
      },
    });
    response.on('data', (chunk: Buffer) => events.push(chunk));
    response.on('error', (error) => log.downstream.debug({ server: this.#options.server }, error.message));
    response.once('close', () => {
      if (!answered && !signal.aborted) sink.failed(this.#unknown('ended the stream without an answer'));
    });
  }

  async #readText(response: IncomingMessage): Promise<string> {
    const parts: Buffer[] = [];
    let length = 0;
    try {
      for await (const part of response as AsyncIterable<Buffer>) {
        length += part.length;
        if (length > this.#options.maxMessage) throw this.#tooLong();
        parts.push(part);
      }
    } catch (error) {
      throw error instanceof ProxyError ? error : this.#unknown(`broke off its answer: ${messageOf(error)}`);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  #message(value: unknown): Message {
    try {
      return toMessage(value);
    } catch (error) {
      throw this.#unknown(`gave an answer that is none: ${messageOf(error)}`);
    }
  }

  #explain(error: NodeJS.ErrnoException): ProxyError {
    const { server, url } = this.#options;
    if (!UNSENT.has(error.code ?? '')) return this.#unknown(`broke the connection: ${error.message}`);
    const text = `Server "${server}" cannot be reached at ${url}: ${error.message}. Check servers.${server}.url.`;
    return new ProxyError('SERVER_UNAVAILABLE', text, { cause: error });
  }

  #refused(status: number, text: string): ProxyError {
    const hint = status >= 300 && status < 400 ? ' Redirections are not followed.' : '';
    const quoted = text === '' ? '' : `: ${text.slice(0, QUOTED)}`;
    return new ProxyError(
      'SERVER_UNAVAILABLE',
      `Server "${this.#options.server}" refused the request with HTTP ${status}${quoted}.${hint}`,
    );
  }

  #tooLong(): ProxyError {
    return this.#unknown(`gave an answer larger than ${this.#options.maxMessage} bytes (maxMessage)`);
  }

  /** @param what completes "the server …" */
  #unknown(what: string): ProxyError {
    const text = `Server "${this.#options.server}" ${what}. Whether the request took effect is unknown.`;
    return new ProxyError('OUTCOME_UNKNOWN', text);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
