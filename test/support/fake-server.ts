import type { ServerConfig } from '../../src/config/schema.js';
import type { ConnectContext, Connection, Transport } from '../../src/downstream/types.js';
import { ProxyError } from '../../src/errors.js';
import { isRequest, type Fields, type Id, type Message, type Request } from '../../src/protocol/messages.js';

/** How a server answers a request by itself; undefined leaves it to the test. */
export type Manners = (request: Request, connection: FakeConnection) => Fields | undefined;

export const CAPABILITIES: Fields = {
  tools: { listChanged: true },
  resources: { subscribe: true },
  prompts: {},
  logging: {},
  completions: {},
};

/** Answers everything at once: a tool call with its generation and name, everything else with nothing. */
export const polite: Manners = ({ method, params }, { number }) =>
  method === 'tools/call' ? text(`${number} ${String(params?.name)}`) : {};

/** Leaves tool calls to the test. */
export const slow: Manners = (request, connection) =>
  request.method === 'tools/call' ? undefined : polite(request, connection);

export function text(content: string): Fields {
  return { content: [{ type: 'text', text: content }] };
}

/** One start of a server, as the session sees it: what it was sent, and a hand to answer with. */
export class FakeConnection implements Connection {
  readonly description: Fields;
  readonly pid = undefined;
  readonly config: ServerConfig;
  readonly context: ConnectContext;
  /** The how-manieth start of that server this is. */
  readonly number: number;
  readonly sent: Message[] = [];
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;
  words = '';
  /** What `close` waits for: a server takes its time to leave. */
  leaving: (() => Promise<void>) | undefined;
  /** What another process was to know of it. */
  labelled = '';
  readonly #manners: Manners;
  readonly #heard = new Set<() => void>();
  #events: Pick<Transport, 'onmessage' | 'onfailed' | 'onclose'> | undefined;
  #isClosed = false;
  #reportClosed: () => void = () => {};

  constructor(config: ServerConfig, context: ConnectContext, number: number, manners: Manners) {
    this.config = config;
    this.context = context;
    this.number = number;
    this.#manners = manners;
    this.description = {
      protocolVersion: '2025-11-25',
      capabilities: CAPABILITIES,
      serverInfo: { name: config.name, version: '1' },
    };
    this.closed = new Promise((resolve) => (this.#reportClosed = resolve));
  }

  label(text: string): void {
    this.labelled = text;
  }

  // -- what the session does -------------------------------------------------------------------------------------

  listen(events: Pick<Transport, 'onmessage' | 'onfailed' | 'onclose'>): void {
    this.#events = events;
  }

  send(message: Message): Promise<void> {
    if (this.#isClosed) return Promise.reject(new ProxyError('SERVER_UNAVAILABLE', 'It is closed.'));
    this.sent.push(message);
    for (const heard of this.#heard) heard();
    const result = isRequest(message) ? this.#manners(message, this) : undefined;
    if (result && isRequest(message)) queueMicrotask(() => this.answer(message, result));
    return Promise.resolve();
  }

  diagnosis(): string {
    return this.words;
  }

  async close(): Promise<void> {
    await this.leaving?.();
    this.#isClosed = true;
    this.#reportClosed();
  }

  // -- what the test does ----------------------------------------------------------------------------------------

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Everything of that method the server was sent. */
  sentOf(method: string): (Message & { method: string; params?: Fields })[] {
    return this.sent.flatMap((message) =>
      'method' in message && message.method === method ? [message] : [],
    );
  }

  /** The requests of that method so far. */
  requests(method: string): Request[] {
    return this.sent.filter((message) => isRequest(message)).filter((request) => request.method === method);
  }

  /** The how-manieth request of that method, as soon as it is there. */
  async request(method = 'tools/call', number = 1): Promise<Request> {
    await this.#until(() => this.requests(method).length >= number);
    const found = this.requests(method)[number - 1];
    if (!found) throw new Error('no request');
    return found;
  }

  /** The notification or response that fits, as soon as it is there. */
  async message(fits: (message: Message) => boolean): Promise<Message> {
    await this.#until(() => this.sent.some(fits));
    const found = this.sent.find(fits);
    if (!found) throw new Error('no message');
    return found;
  }

  answer({ id }: { id: Id }, result: Fields): void {
    this.say({ jsonrpc: '2.0', id, result });
  }

  refuse({ id }: { id: Id }, code: number, message: string): void {
    this.say({ jsonrpc: '2.0', id, error: { code, message } });
  }

  say(message: Message, cause?: Id): void {
    this.#events?.onmessage(message, cause);
  }

  fail(id: Id, error: ProxyError): void {
    this.#events?.onfailed(id, error);
  }

  die(reason = 'exited with code 1'): void {
    this.#events?.onclose(reason);
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        const heard = () => {
          this.#heard.delete(heard);
          resolve();
        };
        this.#heard.add(heard);
      });
    }
  }
}
