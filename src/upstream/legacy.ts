import { randomInt } from 'node:crypto';
import { ProxyError } from '../errors.js';
import {
  isId,
  isNotification,
  outcomeOf,
  progressTokenOf,
  toResponse,
  withMeta,
  type Fields,
  type Id,
  type Message,
  type Notification,
  type Outcome,
  type Request,
  type Response,
} from '../protocol/messages.js';
import { toLegacyResult } from '../protocol/translate.js';
import type { Arrived, Asked, Asking, Outlet } from '../session/exchange.js';
import { Exchange } from '../session/exchange.js';
import type { Attached } from '../session/attachments.js';
import type { Correlator, Facts } from '../session/correlate.js';
import type { SentRequest } from '../store/types.js';

/** One ordered way to the client: the stream of a request, or that of no request. */
export interface Stream {
  /** Whether messages sent now can still reach the client on it. */
  readonly open: boolean;
  send(message: Message): void;
  /** The client is served no more. */
  close?(): void;
  /** Has the next worker know the answer until it is stored. */
  readonly arrived?: ((answer: Arrived) => void) | undefined;
  /** Notes where the stream's request is, before it is sent on; a promise is to be awaited first. */
  readonly note?: ((sent: () => SentRequest) => Promise<void> | undefined) | undefined;
}

/** What of a request's params tells for which server it is. */
const ROUTING = ['name', 'uri', 'ref', 'taskId'];

/** What must be kept of a request's params to take its answer without them: no arguments. */
export function routingOf(params: Fields | undefined): Fields {
  const progressToken = progressTokenOf(params);
  const kept = Object.fromEntries(Object.entries(params ?? {}).filter(([key]) => ROUTING.includes(key)));
  return progressToken === undefined ? kept : withMeta(kept, { progressToken });
}

export interface Answer {
  response?: Response;
  /** Writes what must be stored before the response is sent. */
  record?: (() => void) | undefined;
}

interface Question {
  resolve: (outcome: Outcome) => void;
  /** The server's own progress token, and whom to tell. */
  token: Id | undefined;
  onprogress: (params: Fields) => void;
}

/**
 * A client of 2024-11-05 to 2025-11-25 at the other end of an attachment: its requests become exchanges, what servers
 * ask becomes requests to it. Knows no transport.
 */
export class LegacyPeer implements Outlet {
  readonly attached: Attached;
  readonly #own: Stream;
  readonly #correlator: Correlator;
  /** Requests that the client itself gave up. */
  readonly #cancelled = new WeakSet<Exchange>();
  readonly #questions = new Map<Id, Question>();
  /** Not from 1: an answer to a question of an earlier process must not be taken for one of ours. */
  #lastQuestion = randomInt(2 ** 31);

  /** @param own the stream of messages that belong to no request */
  constructor(attached: Attached, own: Stream, correlator: Correlator) {
    this.attached = attached;
    this.#own = own;
    this.#correlator = correlator;
    attached.attachment.outlet = this;
  }

  get client() {
    return this.attached.attachment.client;
  }

  get connected(): boolean {
    return this.#own.open;
  }

  /** The session is over, or the client has left it. */
  close(): void {
    this.#own.close?.();
  }

  notify(notification: Notification): void {
    this.#own.send(notification);
  }

  ask(asked: Asked, onprogress: (params: Fields) => void): Asking {
    return this.#ask(this.#own, asked, onprogress);
  }

  /** Whether a request of that id is under way: where there is one stream only, a second could not be told from it. */
  isRunning(id: Id): boolean {
    return this.attached.attachment.running.of(id).length > 0;
  }

  /**
   * Carries out a request of the client, in the session that the request itself names, or in the one it is attached to.
   * @param stream where what belongs to the request goes
   * @param facts who sent it, and what tells its session
   * @returns no response for a cancelled one. MCP, cancellation: a receiver SHOULD NOT respond to it
   */
  async request({ id, method, params }: Request, stream: Stream, facts: Facts): Promise<Answer> {
    if (method === 'ping') return { response: { jsonrpc: '2.0', id, result: {} } };
    const { attachment } = this.attached;
    const target = this.#correlator.target(facts, attachment.client, attachment);
    const exchange = new Exchange(method, params, this.#outletOn(stream), facts.principal.id);
    exchange.use = target.use;
    const ended = attachment.running.add(id, exchange);
    try {
      const outcome = await target.run((session) => {
        const { note } = stream;
        exchange.arrived = stream.arrived;
        if (note) {
          const { principal } = exchange;
          exchange.note = (sent) =>
            note(() => ({ ...sent, session: session.id, principal, params: routingOf(params) }));
        }
        return session.request(exchange);
      });
      const readable = 'result' in outcome ? { result: toLegacyResult(method, outcome.result) } : outcome;
      return { response: toResponse(id, readable), record: exchange.record };
    } catch (error) {
      if (!(error instanceof ProxyError) || error.code !== 'CALL_CANCELLED') throw error;
      if (this.#cancelled.has(exchange)) return {};
      // Somebody else ended the session: who asked is owed an answer.
      const text = 'The session was closed while the request was under way: the outcome is unknown.';
      return { response: toResponse(id, { error: new ProxyError('SESSION_CLOSED', text).toJsonRpc() }) };
    } finally {
      ended();
    }
  }

  /** Takes a notification or a response of the client. @param session that the notification is for */
  receive(message: Notification | Response, session = this.attached.session): void {
    if (!isNotification(message)) {
      const question = this.#questions.get(message.id);
      this.#questions.delete(message.id);
      return question?.resolve(outcomeOf(message));
    }
    const { method, params } = message;
    switch (method) {
      case 'notifications/initialized':
        return; // each server had its own from us
      case 'notifications/cancelled':
        return this.#cancel(params);
      case 'notifications/progress': {
        const question = isId(params?.progressToken) ? this.#questions.get(params.progressToken) : undefined;
        if (question?.token !== undefined) question.onprogress({ ...params, progressToken: question.token });
        return;
      }
      default:
        // What calls itself a request is none without an id, and must not pass the catalog by.
        if (method.startsWith('notifications/')) session.notification(method, params);
        return;
    }
  }

  #cancel(params: Fields | undefined): void {
    const { requestId, ...reason } = params ?? {};
    const [exchange, ...twins] = this.attached.attachment.running.of(requestId);
    // Clients that give every request the same id cannot say which one they mean: better none than the wrong one.
    if (!exchange || twins.length > 0) return;
    this.#cancelled.add(exchange);
    exchange.cancel(reason);
  }

  #outletOn(stream: Stream): Outlet {
    // A request's stream may be over while its task goes on, or may not exist at all.
    const best = () => (stream.open ? stream : this.#own);
    return {
      client: this.client,
      connected: true,
      notify: (notification) => best().send(notification),
      ask: (asked, onprogress) => this.#ask(best(), asked, onprogress),
    };
  }

  #ask(stream: Stream, { method, params }: Asked, onprogress: (params: Fields) => void): Asking {
    const id = ++this.#lastQuestion;
    const token = progressTokenOf(params);
    const sent = params && token !== undefined ? withMeta(params, { progressToken: id }) : params;
    const answer = new Promise<Outcome>((resolve) => this.#questions.set(id, { resolve, token, onprogress }));
    stream.send({ jsonrpc: '2.0', id, method, ...(sent ? { params: sent } : {}) });
    return {
      answer,
      cancel: (reason) => {
        if (!this.#questions.delete(id)) return;
        stream.send({
          jsonrpc: '2.0',
          method: 'notifications/cancelled',
          params: { ...reason, requestId: id },
        });
      },
    };
  }
}
