import { pathToFileURL } from 'node:url';
import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import type { ServerConfig } from '../config/schema.js';
import type { Connection, Expected } from '../downstream/types.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import {
  isId,
  isRequest,
  isResponse,
  outcomeOf,
  progressTokenOf,
  withMeta,
  type Fields,
  type Id,
  type Message,
  type Notification,
  type Outcome,
  type Request,
} from '../protocol/messages.js';
import {
  cancelledError,
  restartedError,
  type Asking,
  type Exchange,
  type Inherited,
  type Outlet,
} from './exchange.js';
import { Questions } from './questions.js';
import { TaskTokens, type Listening } from './task-tokens.js';

/** Progress renews a call's time, but not for ever: so many times `timeouts.call` at most. */
const LONGEST_CALL = 20;

/** Capability of a client without which a server's request is not put to it. */
const NEEDED: Readonly<Record<string, string>> = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
};

/** Whom a server's messages concern that belong to no call. */
export interface Audience {
  notify(notification: Notification): void;
  /** A client that can be asked for what needs this capability. */
  outlet(capability: string | undefined): Outlet | undefined;
}

interface Call {
  exchange: Exchange | undefined;
  clientToken: Id | undefined;
  startedAt: number;
  /** Input requests of the server that wait for the client; meanwhile the call's time stands still. */
  asked: Set<Id>;
  stopTimer: () => void;
  resolve: (outcome: Outcome) => void;
  reject: (error: ProxyError) => void;
}

export interface CallsOptions {
  config: ServerConfig;
  connection: Connection;
  audience: Audience;
  clock: Clock;
  /** Questions of the server that may wait for a client at a time. */
  questions: number;
  nextId: () => number;
  /** Folder that the server is told as its only root, whatever roots the client has. */
  root: string | undefined;
  /** Requests that an earlier process sent on this connection. */
  expected?: readonly Expected[];
}

/**
 * The requests under way on one connection, both directions. Every id and progress token on the wire is made here, so
 * that nothing a client or another session chose can be mistaken for it.
 */
export class Calls {
  readonly #options: CallsOptions;
  readonly #calls = new Map<Id, Call>();
  readonly #questions: Questions;
  /** Answers to requests of an earlier process that nobody has taken up yet. */
  readonly #expected = new Map<Id, Promise<Outcome>>();
  readonly #taskTokens = new TaskTokens();

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#questions = new Questions(options.clock, (message) => this.#send(message));
    for (const { id } of options.expected ?? []) {
      const answer = this.#answer(id);
      answer.catch(() => {}); // told to whoever takes it up
      this.#expected.set(id, answer);
    }
  }

  get size(): number {
    return this.#calls.size;
  }

  /**
   * Sends one request and waits for its response.
   * @param exchange whose request it is; without one it is the proxy's own
   * @throws {ProxyError} SERVER_BUSY, SERVER_UNAVAILABLE, OUTCOME_UNKNOWN, CALL_TIMEOUT, CALL_CANCELLED
   */
  call(method: string, params: Fields | undefined, exchange?: Exchange): Promise<Outcome> {
    const { nextId, connection } = this.#options;
    if (exchange?.sent) return this.#resume(exchange.sent, exchange);
    if (exchange?.cancelled) return Promise.reject(cancelledError());
    const id = nextId();
    const clientToken = exchange && progressTokenOf(params);
    const sent = clientToken === undefined || !params ? params : withMeta(params, { progressToken: id });
    const answer = this.#answer(id, exchange, clientToken);
    const message: Request = { jsonrpc: '2.0', id, method, ...(sent ? { params: sent } : {}) };
    const send = () => connection.send(message, exchange?.outlet.client);
    const noted = exchange?.note?.({ server: this.#name, id, pid: connection.pid, asked: [] });
    // One that was cancelled meanwhile is not sent any more.
    const done = noted ? noted.then(() => (this.#calls.has(id) ? send() : undefined)) : send();
    done.catch((error: unknown) => this.#finish(id)?.reject(asProxyError(error)));
    return answer;
  }

  /** Waits for the answer to a request of that id. */
  #answer(id: Id, exchange?: Exchange, clientToken?: Id): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const call: Call = {
        exchange,
        clientToken,
        startedAt: this.#options.clock.steady(),
        asked: new Set(),
        stopTimer: () => {},
        resolve,
        reject,
      };
      this.#calls.set(id, call);
      this.#startTimer(id, call);
      exchange?.whileRunning(this.#cancelling(id));
    });
  }

  #cancelling(id: Id): (reason: Fields) => void {
    return (reason) => {
      this.#abandon(id, reason);
      // Nobody is there any more to answer what the server asks in it, and it must not wait for that.
      const asked = [...(this.#calls.get(id)?.asked ?? [])];
      this.#finish(id)?.reject(cancelledError());
      for (const question of asked) {
        this.#questions.takeBack(question, reason);
        this.#questions.refuse(question, 'The client cancelled the request.');
      }
    };
  }

  /** Takes up a request that an earlier process sent. */
  #resume(sent: Inherited, exchange: Exchange): Promise<Outcome> {
    const { server, id, asked } = sent;
    const answer = server === this.#name ? this.#expected.get(id) : undefined;
    if (!answer) return Promise.reject(restartedError());
    this.#expected.delete(id);
    const call = this.#calls.get(id);
    if (call) {
      call.exchange = exchange;
      call.clientToken = progressTokenOf(exchange.params);
      exchange.whileRunning(this.#cancelling(id));
    }
    for (const id of asked) {
      const asking = exchange.outlet.takeUp?.(id);
      if (call && asking) this.#wait(id, undefined, asking, call);
      // Whom the client's answer would reach is gone; a server that waits for it would wait for ever.
      else this.#questions.refuse(id, 'The proxy was restarted while the client was asked. Ask again.');
    }
    if (sent.answer?.outcome) this.receive({ jsonrpc: '2.0', id, ...sent.answer.outcome });
    else if (sent.answer) this.failed(id, restartedError());
    return answer;
  }

  receive(message: Message, cause?: Id): void {
    if (isResponse(message)) {
      const { id } = message;
      const call = this.#finish(id);
      if (!call)
        return log.session.debug({ server: this.#name, id }, 'An answer to no request; passed over.');
      const outcome = outcomeOf(message);
      call.exchange?.arrived?.({ id, outcome });
      this.#taskTokens.keep(id, listeningTo(call), outcome);
      call.resolve(outcome);
    } else if (isRequest(message)) {
      this.#ask(message, cause);
    } else {
      this.#notify(message, cause);
    }
  }

  /** @param id undefined for an answer of which only that is known */
  failed(id: Id | undefined, error: ProxyError): void {
    const [only, ...others] = this.#calls.keys();
    const meant = id ?? (others.length === 0 ? only : undefined);
    if (meant !== undefined) this.#finish(meant)?.reject(error);
  }

  /** Everything under way ends with `error`. */
  end(error: ProxyError): void {
    for (const id of [...this.#calls.keys()]) this.#finish(id)?.reject(error);
    this.#questions.end({ reason: error.message });
  }

  get #name(): string {
    return this.#options.config.name;
  }

  #finish(id: Id): Call | undefined {
    const call = this.#calls.get(id);
    if (!call || !this.#calls.delete(id)) return undefined;
    call.stopTimer();
    call.exchange?.whileRunning(undefined);
    return call;
  }

  #send(message: Message): void {
    this.#options.connection.send(message).catch((error: unknown) => {
      log.session.debug({ server: this.#name }, messageOf(error));
    });
  }

  // -- time ------------------------------------------------------------------------------------------------------

  #startTimer(id: Id, call: Call): void {
    const { clock, config, connection } = this.#options;
    call.stopTimer();
    const longest = config.timeouts.call * LONGEST_CALL;
    let left = call.startedAt + longest - clock.steady();
    // The timer would have ended it by then: a user was waited for, and that does not count.
    if (left <= 0) [call.startedAt, left] = [clock.steady(), longest];
    call.stopTimer = clock.after(Math.min(config.timeouts.call, left), () => {
      this.#abandon(id, { reason: 'timeout' });
      const text =
        `Server "${config.name}" did not answer within ${formatDuration(config.timeouts.call)} (timeouts.call). ` +
        `Whether the request took effect is unknown.${connection.diagnosis()}`;
      this.#finish(id)?.reject(new ProxyError('CALL_TIMEOUT', text));
    });
  }

  #abandon(id: Id, reason: Fields): void {
    this.#send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { ...reason, requestId: id } });
  }

  // -- what a server asks ----------------------------------------------------------------------------------------

  #ask(request: Request, cause: Id | undefined): void {
    const { id, method, params } = request;
    const reply = (outcome: Outcome) => this.#questions.answer(id, outcome);
    // Lifecycle, ping: the receiver MUST respond promptly. Whether a client is there is our affair, not the server's.
    if (method === 'ping') return reply({ result: {} });
    const { root } = this.#options;
    if (method === 'roots/list' && root !== undefined) {
      return reply({ result: { roots: [{ uri: pathToFileURL(root).href, name: 'session' }] } });
    }
    if (this.#questions.size >= this.#options.questions) {
      const text = `${this.#questions.size} questions of "${this.#name}" wait for an answer already (sessions.maxQuestions).`;
      return reply({ error: new ProxyError('TOO_MANY_REQUESTS', text).toJsonRpc() });
    }

    const capability = NEEDED[method];
    const call = this.#callOf(cause, capability);
    const outlet = call?.exchange?.outlet ?? this.#options.audience.outlet(capability);
    if (!outlet || (capability !== undefined && !(capability in outlet.client.capabilities))) {
      if (capability !== undefined) this.#refuse(cause, capability);
      const text = `The client of this session cannot answer ${method}.`;
      return reply({ error: { code: -32601, message: text } });
    }
    const asking = outlet.ask({ id, method, ...(params ? { params } : {}) }, (progress) =>
      this.#send({ jsonrpc: '2.0', method: 'notifications/progress', params: progress }),
    );
    this.#wait(id, method, asking, call);
  }

  #wait(question: Id, method: string | undefined, asking: Asking, call: Call | undefined): void {
    if (call) this.#hold(call, question);
    this.#questions.wait(question, method, asking, () => call && this.#release(call, question));
  }

  /** Ends the call that needs what its client has not, where the client's revision has an answer for that. */
  #refuse(cause: Id | undefined, capability: string): void {
    const call = this.#callOf(cause);
    const refusal = call?.exchange?.outlet.refuse?.(capability);
    if (!call || !refusal) return;
    for (const [id, running] of this.#calls) {
      if (running !== call) continue;
      this.#abandon(id, { reason: refusal.message });
      this.#finish(id)?.resolve({ error: refusal });
    }
  }

  #hold(call: Call, question: Id): void {
    call.asked.add(question);
    call.stopTimer();
    this.#noteAsked(call);
  }

  #release(call: Call, question: Id): void {
    call.asked.delete(question);
    this.#noteAsked(call);
    if (call.asked.size > 0) return;
    for (const [id, running] of this.#calls) if (running === call) this.#startTimer(id, call);
  }

  #noteAsked(call: Call): void {
    const { exchange, asked } = call;
    if (!exchange?.note) return;
    for (const [id, running] of this.#calls) {
      if (running !== call || typeof id !== 'number') continue;
      exchange
        .note({ server: this.#name, id, pid: this.#options.connection.pid, asked: [...asked] })
        ?.catch((error: unknown) => log.session.warn(messageOf(error)));
    }
  }

  /**
   * The call a message belongs to: the one the wire names, else the newest whose client could have caused it. Where
   * sessions share the server only a lone call is taken for the cause: a guess could tell one client of another.
   */
  #callOf(cause: Id | undefined, capability?: string): Call | undefined {
    if (cause !== undefined) return this.#calls.get(cause);
    const { scope } = this.#options.config;
    if ((scope === 'shared' || scope === 'principal') && this.#calls.size > 1) return undefined;
    let newest: Call | undefined;
    for (const call of this.#calls.values()) {
      if (!call.exchange) continue;
      if (capability === undefined || capability in call.exchange.outlet.client.capabilities) newest = call;
    }
    return newest;
  }

  // -- what a server tells ---------------------------------------------------------------------------------------

  #notify(notification: Notification, cause: Id | undefined): void {
    const { method, params } = notification;
    switch (method) {
      case 'notifications/progress':
        return this.#progress(notification);
      case 'notifications/cancelled': {
        const { requestId, ...rest } = params ?? {};
        return isId(requestId) ? this.#questions.takeBack(requestId, rest) : undefined;
      }
      case 'notifications/message': {
        const outlet = this.#callOf(cause)?.exchange?.outlet;
        return (outlet ?? this.#options.audience).notify(notification);
      }
      default: {
        const outlet = cause === undefined ? undefined : this.#calls.get(cause)?.exchange?.outlet;
        return (outlet ?? this.#options.audience).notify(notification);
      }
    }
  }

  #progress({ params, ...notification }: Notification): void {
    const token = params?.progressToken;
    if (!isId(token)) return;
    const call = this.#calls.get(token);
    if (call && call.asked.size === 0) this.#startTimer(token, call);
    const target = (call && listeningTo(call)) ?? this.#taskTokens.get(token);
    target?.outlet.notify({ ...notification, params: { ...params, progressToken: target.clientToken } });
  }
}

function listeningTo({ exchange, clientToken }: Call): Listening | undefined {
  return exchange && clientToken !== undefined ? { outlet: exchange.outlet, clientToken } : undefined;
}
