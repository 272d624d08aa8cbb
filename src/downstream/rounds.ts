import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.js';
import { asProxyError, type ErrorObject, type ProxyError } from '../errors.js';
import {
  isFields,
  outcomeOf,
  type Fields,
  type Id,
  type Outcome,
  type Request,
  type Response,
} from '../protocol/messages.js';
import type { Transport } from './types.js';

/** How often one request may be sent again with more input. */
const MAX_ROUNDS = 10;

/** Before a request that only carries the server's state is sent again, milliseconds. */
const STATE_PAUSE = 250;

/** One request of the middle, in however many rounds. */
interface Running {
  request: Request;
  /** Under which the request is with the server just now; undefined while the client is asked. */
  wireId: Id | undefined;
  rounds: number;
  /** What the client is asked, by the id of the question. */
  asking: Map<Id, (outcome: Outcome) => void>;
  stopPause: () => void;
}

export interface RoundsOptions {
  server: string;
  clock: Clock;
  nextId: () => string;
  send: (request: Request) => Promise<void>;
  /** Towards the middle. */
  onmessage: Transport['onmessage'];
  onfailed: Transport['onfailed'];
}

/**
 * 2026-07-28, multi round-trip requests: a server that needs its client's input ends the request with `input_required`
 * and gets it again, with the answers. For the middle it stays one request, and the questions are requests of the server.
 */
export class Rounds {
  readonly #options: RoundsOptions;
  readonly #running = new Map<Id, Running>();
  readonly #byWire = new Map<Id, Running>();
  readonly #byQuestion = new Map<Id, Running>();

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  async send(request: Request): Promise<void> {
    const { id } = request;
    const running = { request, wireId: id, rounds: 0, asking: new Map<Id, never>(), stopPause: () => {} };
    this.#running.set(id, running);
    this.#byWire.set(id, running);
    try {
      await this.#options.send(request);
    } catch (error) {
      this.#forget(running);
      throw error;
    }
  }

  /** The request of the middle behind one on the wire. */
  requestOf(wireId: Id | undefined): Id | undefined {
    return wireId === undefined ? undefined : (this.#byWire.get(wireId)?.request.id ?? wireId);
  }

  /** @returns whether the failure is one of the requests here */
  failed(wireId: Id, error: ProxyError): boolean {
    const running = this.#byWire.get(wireId);
    if (running && this.#forget(running)) this.#options.onfailed(running.request.id, error);
    return running !== undefined;
  }

  /** @returns whether the response belongs to one of the requests here */
  receive(response: Response): boolean {
    const running = this.#byWire.get(response.id);
    if (!running) return false;
    this.#byWire.delete(response.id);
    running.wireId = undefined;
    const outcome = outcomeOf(response);
    if ('result' in outcome && outcome.result.resultType === 'input_required') {
      this.#ask(running, outcome.result).catch((error: unknown) => {
        if (this.#forget(running)) this.#options.onfailed(running.request.id, asProxyError(error));
      });
    } else this.#end(running, outcome);
    return true;
  }

  /** @returns whether the response answers one of the questions here */
  answer(response: Response): boolean {
    const running = this.#byQuestion.get(response.id);
    const resolve = running?.asking.get(response.id);
    this.#byQuestion.delete(response.id);
    running?.asking.delete(response.id);
    resolve?.(outcomeOf(response));
    return running !== undefined;
  }

  /**
   * The middle wants no response any more.
   * @returns the id under which the request is with the server; undefined while it is with the client
   */
  cancel(id: Id, reason: Fields): Id | undefined {
    const running = this.#running.get(id);
    if (!running) return id;
    this.#forget(running, reason);
    return running.wireId;
  }

  async #ask(running: Running, { inputRequests, requestState }: Fields): Promise<void> {
    const { clock, nextId, server, send } = this.#options;
    const asked = isFields(inputRequests) ? Object.entries(inputRequests) : [];
    const fault =
      (running.rounds += 1) > MAX_ROUNDS
        ? `asked for input more than ${MAX_ROUNDS} times`
        : asked.length === 0 && requestState === undefined
          ? 'asked for input and named none'
          : undefined;
    if (fault !== undefined)
      return this.#end(running, { error: { code: -32603, message: `Server "${server}" ${fault}.` } });
    if (asked.length === 0)
      await new Promise<void>((resolve) => (running.stopPause = clock.after(STATE_PAUSE, resolve)));
    const answers = await Promise.all(
      asked.map(async ([key, input]) => [key, await this.#question(running, input)] as const),
    );
    if (!this.#running.has(running.request.id)) return;
    const refused = answers.flatMap(([, outcome]) => ('error' in outcome ? [outcome.error] : []))[0];
    // There is no form in which a server could be told so.
    if (refused) return this.#end(running, { error: unanswered(refused) });
    const inputResponses = Object.fromEntries(
      answers.map(([key, outcome]) => [key, 'result' in outcome ? outcome.result : {}]),
    );
    const id = nextId();
    running.wireId = id;
    this.#byWire.set(id, running);
    await send({
      ...running.request,
      id,
      params: {
        ...running.request.params,
        ...(asked.length === 0 ? {} : { inputResponses }),
        ...(requestState === undefined ? {} : { requestState }),
      },
    });
  }

  #question(running: Running, input: unknown): Promise<Outcome> {
    const { onmessage, nextId, server } = this.#options;
    const method = isFields(input) ? input.method : undefined;
    if (!isFields(input) || typeof method !== 'string') {
      const message = `Server "${server}" asked for input that is no request.`;
      return Promise.resolve({ error: { code: -32603, message } });
    }
    const id = nextId();
    const answer = new Promise<Outcome>((resolve) => running.asking.set(id, resolve));
    this.#byQuestion.set(id, running);
    const params = isFields(input.params) ? { params: forLegacy(method, input.params) } : {};
    onmessage({ jsonrpc: '2.0', id, method, ...params }, running.request.id);
    return answer;
  }

  #end(running: Running, outcome: Outcome): void {
    const { id } = running.request;
    if (!this.#forget(running)) return;
    const envelope = { jsonrpc: '2.0' as const, id };
    this.#options.onmessage({ ...envelope, ...outcome });
  }

  /** Takes back what the client is asked. @returns whether the request was still running */
  #forget(running: Running, reason: Fields = {}): boolean {
    running.stopPause();
    if (running.wireId !== undefined) this.#byWire.delete(running.wireId);
    for (const requestId of running.asking.keys()) {
      this.#byQuestion.delete(requestId);
      const params = { ...reason, requestId };
      this.#options.onmessage({ jsonrpc: '2.0', method: 'notifications/cancelled', params });
    }
    running.asking.clear();
    return this.#running.delete(running.request.id);
  }
}

/** 2025-11-25, elicitation: a question by URL has an id of its own, which 2026-07-28 has given up. */
function forLegacy(method: string, params: Fields): Fields {
  if (method !== 'elicitation/create' || params.mode !== 'url') return params;
  return { elicitationId: randomUUID(), ...params };
}

function unanswered(error: ErrorObject): ErrorObject {
  return { ...error, message: `The client did not give the input the server asked for: ${error.message}` };
}
