import { randomInt } from 'node:crypto';
import { messageOf, type ProxyError } from '../errors.js';
import { log } from '../logger.js';
import type { ClientProfile } from '../protocol/client.js';
import { SERVER_INFO } from '../protocol/envelope.js';
import { MODERN_VERSION } from '../protocol/eras.js';
import {
  isFields,
  isId,
  isRequest,
  isResponse,
  metaOf,
  outcomeOf,
  type Id,
  type Message,
  type Notification,
  type Outcome,
  type Request,
} from '../protocol/messages.js';
import { enveloped, hasEnvelope } from '../protocol/modern.js';
import { within, type Failed, type HandshakeOptions } from './handshake.js';
import { Listen } from './listen.js';
import { Rounds } from './rounds.js';
import type { Connection, Description, Transport } from './types.js';

type Events = Pick<Transport, 'onmessage' | 'onfailed' | 'onclose'>;

/** How long a start waits for the server's word that it tells of changes, milliseconds. */
const LISTEN_WAIT = 2000;

/** What a legacy client tells that a modern server has no ear for. */
const UNHEARD = new Set([
  'notifications/initialized',
  'notifications/progress',
  'notifications/roots/list_changed',
]);

/**
 * Starts a transport, unless it has been, and asks a server of 2026-07-28 what it is.
 * @throws {ProxyError} SERVER_UNAVAILABLE saying what the server did instead
 */
export function connectModern(options: HandshakeOptions, client: ClientProfile): Promise<Connection> {
  const connection = new ModernConnection(options, client);
  return within(options, 'server/discover', (failed) => connection.handshake(failed));
}

/**
 * A server without sessions, behind the words of the middle: what earlier revisions kept in a connection (log level,
 * subscriptions, who the client is) is kept here and said with each request. A request that describes itself comes from
 * a client of the server's own era, and passes as it is, as does its result.
 */
class ModernConnection implements Connection {
  description: Description = {};
  readonly diagnosis: () => string;
  readonly #options: HandshakeOptions;
  readonly #transport: Transport;
  /** Speaks where a request has no client of its own. */
  readonly #client: ClientProfile;
  readonly #rounds: Rounds;
  readonly #listen: Listen;
  /** The question what the server is, while it is open. */
  #discovering:
    { id: Id; resolve: (outcome: Outcome) => void; reject: (error: ProxyError) => void } | undefined;
  /** Not from 1: an earlier process may have asked the same server. */
  #lastId = randomInt(2 ** 31);
  #level: unknown;
  #events: Events | undefined;
  #waiting: [Message, Id | undefined][] = [];
  /** Why no message will come any more, where that was known before anybody listened. */
  #closed: string | undefined;

  constructor(options: HandshakeOptions, client: ClientProfile) {
    const { transport } = options;
    this.#options = options;
    this.#transport = transport;
    this.#client = client;
    this.diagnosis = () => transport.diagnosis();
    const nextId = () => this.#nextId();
    this.#rounds = new Rounds({
      ...options,
      nextId,
      send: (message) => transport.send(message),
      onmessage: (message, cause) => this.#tell(message, cause),
      onfailed: (id, error) => this.#events?.onfailed(id, error),
    });
    this.#listen = new Listen({ ...options, nextId, send: (message) => this.#sendOwn(message) });
  }

  async handshake(failed: Failed): Promise<this> {
    const transport = this.#transport;
    transport.onmessage = (message, cause) => this.#receive(message, cause);
    transport.onfailed = (id, error) => this.#failed(id, error);
    transport.onclose = (reason) => {
      this.#discovering?.reject(failed(`it ${reason} before it answered server/discover`));
      this.#over(reason);
    };
    await transport.start();
    const id = this.#nextId();
    const answer = new Promise<Outcome>((resolve, reject) => (this.#discovering = { id, resolve, reject }));
    answer.catch(() => {}); // told below, once the sending itself has not failed
    await this.#sendOwn({ jsonrpc: '2.0', id, method: 'server/discover' });
    const outcome = await answer;
    if ('error' in outcome) throw failed(`it refused server/discover: ${outcome.error.message}`);
    const { supportedVersions: versions, capabilities, instructions } = outcome.result;
    if (!Array.isArray(versions) || !versions.includes(MODERN_VERSION))
      throw failed(`it speaks the revisions ${JSON.stringify(versions)}, which are not known here`);
    this.description = {
      protocolVersion: MODERN_VERSION,
      capabilities: isFields(capabilities) ? capabilities : {},
      serverInfo: metaOf(outcome.result)?.[SERVER_INFO] ?? { name: this.#options.server, version: '0' },
      ...(instructions === undefined ? {} : { instructions }),
    };
    await this.#hearChanges();
    return this;
  }

  label(text: string): void {
    this.#transport.label(text);
  }

  get pid(): number | undefined {
    return this.#transport.pid;
  }

  get sessionless(): boolean {
    return this.#transport.sessionless ?? false;
  }

  close(force?: boolean): Promise<void> {
    this.#listen.close();
    return this.#transport.close(force);
  }

  listen(events: Events): void {
    this.#events = events;
    for (const [message, cause] of this.#waiting.splice(0)) events.onmessage(message, cause);
    if (this.#closed !== undefined) events.onclose(this.#closed);
  }

  async send(message: Message, client = this.#client): Promise<void> {
    if (isResponse(message)) {
      if (!this.#rounds.answer(message)) await this.#transport.send(message);
      return;
    }
    if (!isRequest(message)) return this.#notify(message, client);
    const { id, method, params } = message;
    switch (method) {
      // Requests that this revision does not have any more.
      case 'ping': {
        // Whoever pings wants to know whether the server is there; this is the question it must answer.
        const question = { ...message, method: 'server/discover', params: enveloped(params, client) };
        return this.#rounds.send(question);
      }
      case 'logging/setLevel':
        this.#level = params?.level;
        return this.#answer(id);
      case 'resources/subscribe':
      case 'resources/unsubscribe':
        await this.#listen.subscribe(String(params?.uri), method === 'resources/subscribe');
        return this.#answer(id);
    }
    if (hasEnvelope(params)) return this.#transport.send(message);
    return this.#rounds.send({ ...message, params: enveloped(params, client, this.#level) });
  }

  async #notify(message: Notification, client: ClientProfile): Promise<void> {
    const { method, params } = message;
    if (UNHEARD.has(method)) return;
    if (method !== 'notifications/cancelled')
      return this.#transport.send(
        hasEnvelope(params) ? message : { ...message, params: enveloped(params, client) },
      );
    const requestId = isId(params?.requestId) ? this.#rounds.cancel(params.requestId, params) : undefined;
    if (requestId !== undefined) await this.#transport.send({ ...message, params: { ...params, requestId } });
  }

  #receive(message: Message, cause: Id | undefined): void {
    if (isRequest(message)) return this.#tell(message, this.#rounds.requestOf(cause));
    if (isResponse(message)) {
      if (message.id === this.#discovering?.id) {
        this.#discovering.resolve(outcomeOf(message));
        this.#discovering = undefined;
      } else if (!this.#rounds.receive(message) && !this.#listen.receive(message)) this.#tell(message);
      return;
    }
    if (!this.#listen.receive(message)) this.#tell(Listen.bare(message), this.#rounds.requestOf(cause));
  }

  #failed(id: Id | undefined, error: ProxyError): void {
    if (id === undefined) this.#events?.onfailed(id, error);
    else if (id === this.#discovering?.id) this.#discovering.reject(error);
    else if (!this.#rounds.failed(id, error) && !this.#listen.ended(id, error.message))
      this.#events?.onfailed(id, error);
  }

  #over(reason: string): void {
    this.#listen.close();
    this.#closed = reason;
    this.#events?.onclose(reason);
  }

  #tell(message: Message, cause?: Id): void {
    if (this.#events) this.#events.onmessage(message, cause);
    else this.#waiting.push([message, cause]);
  }

  #answer(id: Id): void {
    queueMicrotask(() => this.#tell({ jsonrpc: '2.0', id, result: {} }));
  }

  #nextId(): string {
    return `proxy-${++this.#lastId}`;
  }

  #sendOwn(message: Request | Notification): Promise<void> {
    return this.#transport.send({ ...message, params: enveloped(message.params, this.#client) });
  }

  /** What changes right after the start should be heard of; but no server is kept waiting for its word. */
  async #hearChanges(): Promise<void> {
    const { clock, server } = this.#options;
    let stop = () => {};
    const enough = new Promise<void>((resolve) => (stop = clock.after(LISTEN_WAIT, resolve)));
    const begun = this.#listen.start(this.description.capabilities).catch((error: unknown) => {
      log.downstream.warn({ server }, messageOf(error));
    });
    await Promise.race([begun, enough]);
    stop();
  }
}
