import { isUtf8 } from 'node:buffer';
import type { Readable, Writable } from 'node:stream';
import { LOCAL_PRINCIPAL } from '../auth/principal.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { profileOf } from '../protocol/client.js';
import { LineSplitter } from '../protocol/lines.js';
import {
  isId,
  isFields,
  isRequest,
  toMessage,
  type Id,
  type Message,
  type Notification,
  type Request,
  type Response,
} from '../protocol/messages.js';
import { envelopeOf, hasEnvelope } from '../protocol/modern.js';
import type { Attached } from '../session/attachments.js';
import type { Facts } from '../session/correlate.js';
import type { Store } from '../store/types.js';
import { introduce, type IntroduceOptions } from './introduce.js';
import { LegacyPeer } from './legacy.js';
import type { ModernRequests, Running } from './modern.js';

export interface StdioOptions extends IntroduceOptions {
  store: Store;
  input: Readable;
  output: Writable;
  /** Largest message of the client, bytes. */
  maxMessage: number;
  /** Takes what a client of 2026-07-28 sends. */
  modern: ModernRequests;
  /** The session to attach to; without it the client gets one of its own. */
  session?: string;
}

/** One client on a pipe, from its first line to its last: the end of input detaches it, the session stays. */
export class StdioEndpoint {
  readonly #options: StdioOptions;
  #peer: LegacyPeer | undefined;
  #initializing: Promise<void> | undefined;
  /** The session of a client of 2026-07-28. */
  #attached: Attached | Promise<Attached> | undefined;
  /** Its requests under way. */
  readonly #running = new Map<string, Running>();

  constructor(options: StdioOptions) {
    this.#options = options;
  }

  /** Serves until the client closes its end; what it asked for is answered by those who stop the proxy. */
  async serve(): Promise<void> {
    const { input, output, maxMessage } = this.#options;
    const lines = new LineSplitter(maxMessage, {
      line: (line) => void this.#receive(line),
      tooLong: (_head, _tail, length) =>
        this.#refuse(
          new ProxyError('BODY_TOO_LARGE', `A message of ${length} bytes is larger than ${maxMessage}.`),
          null,
        ),
    });
    output.on('error', (error) => log.upstream.debug(`stdout: ${error.message}`));
    input.on('data', (chunk: Buffer) => lines.push(chunk));
    await new Promise<void>((resolve) => {
      input.once('end', resolve);
      input.once('close', resolve);
      input.once('error', () => resolve());
    });
  }

  async #receive(line: Buffer): Promise<void> {
    let id: Id | null = null;
    try {
      if (!isUtf8(line)) throw new ProxyError('PARSE_ERROR', 'The message is not valid UTF-8.');
      const value = parse(line);
      if (isFields(value) && isId(value.id)) id = value.id;
      if (Array.isArray(value))
        throw new ProxyError('INVALID_REQUEST', 'Batches are not taken on a pipe: send one message a line.');
      const message = toMessage(value);
      if (!isRequest(message)) this.#take(message);
      else if (hasEnvelope(message.params)) await this.#modern(message);
      else await this.#request(message);
    } catch (error) {
      this.#refuse(asProxyError(error), id);
    }
  }

  async #request(request: Request): Promise<void> {
    if (request.method === 'initialize') {
      this.#initializing = this.#initialize(request);
      return this.#initializing;
    }
    await this.#initializing; // a client that does not wait for the answer
    const peer = this.#peer;
    if (!peer) throw new ProxyError('SESSION_REQUIRED', 'Send initialize first.');
    this.#checkId(request.id);
    const { response, record } = await peer.request(request, this.#stream, this.#factsOf(request));
    if (record) await this.#options.store.write(record);
    if (response) this.#send(response);
  }

  async #initialize(request: Request): Promise<void> {
    const { result, attached } = await introduce(
      this.#options,
      profileOf(request.params),
      this.#factsOf(request),
    );
    this.#peer ??= new LegacyPeer(attached, this.#stream, this.#options.correlator);
    this.#send({ jsonrpc: '2.0', id: request.id, result });
  }

  /** A request of 2026-07-28. Each describes itself, and all on one pipe are of one client: they share its session. */
  async #modern(request: Request): Promise<void> {
    this.#checkId(request.id);
    const { client } = envelopeOf(request.params);
    const facts = this.#factsOf(request);
    this.#attached ??=
      this.#peer?.attached ??
      introduce(this.#options, client, { ...facts, hint: undefined }).then(({ attached }) => attached);
    const known = await Promise.resolve(this.#attached).catch((error: unknown) => {
      this.#attached = undefined; // the next request tries again
      throw error;
    });
    const target = this.#options.correlator.target({ ...facts, known }, client);
    const running = this.#options.modern.begin(request, LOCAL_PRINCIPAL.id, target, this.#stream);
    const key = JSON.stringify(request.id);
    this.#running.set(key, running);
    let wanted = false;
    const { response, record } = await running.answer.finally(() => (wanted = this.#running.delete(key)));
    if (record) await this.#options.store.write(record);
    // Cancelled meanwhile: the client has no use for an answer.
    if (wanted && response) this.#send(response);
  }

  #take(message: Notification | Response): void {
    const cancelled = 'method' in message && message.method === 'notifications/cancelled';
    const key = cancelled ? JSON.stringify(message.params?.requestId) : '';
    const running = this.#running.get(key);
    if (!running) return this.#peer?.receive(message);
    this.#running.delete(key);
    running.cancel();
  }

  /** On one pipe the answers to two requests of one id could not be told apart. */
  #checkId(id: Id): void {
    if (!this.#peer?.isRunning(id) && !this.#running.has(JSON.stringify(id))) return;
    throw new ProxyError('INVALID_REQUEST', `A request with id ${JSON.stringify(id)} is still under way.`);
  }

  #factsOf({ method, params }: Request): Facts {
    const { session, hints, correlator } = this.#options;
    return {
      principal: LOCAL_PRINCIPAL,
      handle: correlator.handle(method, params),
      address: session,
      hint: hints.read(params),
      known: this.#peer?.attached,
    };
  }

  readonly #stream = { open: true, send: (message: Message) => this.#send(message) };

  #send(message: Message): void {
    this.#options.output.write(`${JSON.stringify(message)}\n`);
  }

  #refuse(error: ProxyError, id: Id | null): void {
    log.upstream.warn(error.message);
    this.#options.output.write(`${JSON.stringify({ jsonrpc: '2.0', id, error: error.toJsonRpc() })}\n`);
  }
}

/** @throws {ProxyError} PARSE_ERROR */
function parse(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8'));
  } catch (error) {
    throw new ProxyError('PARSE_ERROR', `The line is not valid JSON: ${messageOf(error)}.`, { cause: error });
  }
}
