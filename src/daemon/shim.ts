import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { asProxyError, messageOf, ProxyError } from '../errors.js';
import { LineSplitter } from '../protocol/lines.js';
import { isFields, isId, type Fields, type Id } from '../protocol/messages.js';
import { isWorthKeeping } from '../protocol/methods.js';
import { hasEnvelope } from '../protocol/modern.js';
import { isStream, LONGEST, PATIENCE, RETRY, UNKNOWN, type Carrier, type Session } from './carrier.js';
import type { Presence } from './presence.js';
import { textOf, type Sent } from './wire.js';

/** What is under way at the end of input gets this long to be answered, milliseconds. */
const DRAIN = 10_000;

const LISTEN = 'subscriptions/listen';
const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged';

/** A request of the client that has no answer yet. */
interface Open {
  id: Id;
  method: string;
  line: Buffer;
  /** Of 2026-07-28: its answer cannot be taken up again. */
  modern: boolean;
  sent: Sent | undefined;
  /** The last event of its stream, from which that is taken up again. */
  last: string | undefined;
  answered: boolean;
  /** The client wants no answer any more. */
  cancelled: boolean;
  /** A stream of changes was acknowledged before. */
  acknowledged: boolean;
  /** It was sent again by a client that had to be introduced again. */
  again?: true;
}

export interface ShimOptions {
  input: Readable;
  presence: Presence;
  carrier: Carrier;
  /** Told what concerns no request. */
  onproblem: (text: string) => void;
}

/**
 * A client's pipe, carried to the proxy over its local socket: each message is a POST, sent when the one before it was
 * taken, and each stream that breaks is taken up where it broke, also from another process. A message without a receipt
 * was not carried out and is sent again; a call that was taken and has no stream yet ends as "outcome unknown".
 */
export class Shim {
  readonly #options: ShimOptions;
  readonly #open = new Map<string, Open>();
  readonly #background = new Set<Promise<void>>();
  /** How the client introduced itself. */
  #initialize: Fields | undefined;
  #session: Session | undefined;
  #introducing: Promise<void> | undefined;
  #ended = false;

  constructor(options: ShimOptions) {
    this.#options = options;
  }

  /** Resolves when the client has closed its end and what it asked for is answered. @throws when no proxy can be had */
  async run(): Promise<void> {
    const { input, presence, carrier } = this.#options;
    await presence.ensure(true);
    let lines: Buffer[] = [];
    const splitter = new LineSplitter(LONGEST, {
      line: (line) => lines.push(line),
      tooLong: (_head, _tail, length) => {
        const text = `A message of ${length} bytes is larger than a pipe takes.`;
        this.#inBackground(this.#refuse(new ProxyError('BODY_TOO_LARGE', text), null));
      },
    });
    try {
      for await (const chunk of input) {
        splitter.push(chunk as Buffer);
        const whole = lines;
        lines = [];
        for (const line of whole) await this.#forward(line);
      }
    } catch (error) {
      if (!input.errored) throw error; // a pipe that breaks has ended
    }
    for (const open of this.#open.values()) if (open.method === LISTEN) giveUp(open);
    await Promise.race([Promise.all(this.#background), delay(DRAIN, undefined, { ref: false })]);
    this.#ended = true;
    presence.end();
    carrier.close();
  }

  // -- from the client -------------------------------------------------------------------------------------------

  /** Resolves when the proxy has taken the message, or it is answered. */
  async #forward(line: Buffer): Promise<void> {
    const message = parse(line);
    const { id: given, method } = message ?? {};
    const id = isId(given) ? given : null;
    try {
      if (message && id !== null && typeof method === 'string')
        await this.#request(line, message, id, method);
      else if (message && id === null && given === undefined && method === 'notifications/cancelled')
        await this.#cancel(line, message);
      else await this.#pass(line, id, (id === null) !== (method === undefined));
    } catch (error) {
      await this.#refuse(error, id);
    }
  }

  async #request(line: Buffer, message: Fields, id: Id, method: string): Promise<void> {
    const key = JSON.stringify(id);
    if (this.#open.has(key))
      throw new ProxyError('INVALID_REQUEST', `A request with id ${key} is still under way.`);
    const modern = isFields(message.params) && hasEnvelope(message.params);
    if (!modern && method === 'initialize') return this.#introduce(line, message, id);
    const state = { last: undefined, answered: false, cancelled: false, acknowledged: false };
    const open: Open = { id, method, line, modern, sent: undefined, ...state };
    this.#open.set(key, open);
    try {
      const session = await this.#post(open);
      this.#inBackground(this.#follow(open, session).finally(() => this.#close(open)));
    } catch (error) {
      this.#close(open);
      throw error;
    }
  }

  /** Its id is free again. */
  #close(open: Open): void {
    const key = JSON.stringify(open.id);
    if (this.#open.get(key) === open) this.#open.delete(key);
  }

  async #cancel(line: Buffer, { params }: Fields): Promise<void> {
    const open = this.#open.get(JSON.stringify(isFields(params) ? params.requestId : null) ?? '');
    // 2026-07-28, transports: over HTTP, a stream that is closed is a request cancelled.
    if (open?.modern) return giveUp(open);
    if (open) open.cancelled = true;
    await this.#pass(line, null, true);
  }

  /**
   * What is no request: an answer or a notification, or what could not be read, of which the proxy says what is wrong.
   * @param sound whether it is one of the former
   */
  async #pass(line: Buffer, id: Id | null, sound: boolean): Promise<void> {
    if (sound && !this.#session) return; // nobody knows a client that has not introduced itself
    const { response } = await this.#options.carrier.deliver(line, this.#session);
    this.#inBackground(response.then((answer) => this.#relayRefusal(answer, id)));
  }

  // -- clients with `initialize` ---------------------------------------------------------------------------------

  async #introduce(line: Buffer, message: Fields, id: Id): Promise<void> {
    this.#introducing = this.#takeIn(line, (text) => this.#options.carrier.write(withId(text, id)));
    try {
      await this.#introducing;
      this.#initialize = message;
    } finally {
      this.#introducing = undefined;
    }
  }

  /** Introduces the client to a proxy that does not know it any more, unless that has happened since. */
  async #introduceAgain(stale: Session): Promise<void> {
    await this.#introducing?.catch(() => {});
    if (this.#session !== stale || !this.#initialize) return;
    if (this.#introducing) return this.#introduceAgain(stale);
    const line = Buffer.from(JSON.stringify({ ...this.#initialize, id: 'shim' }));
    this.#introducing = this.#takeIn(line, () => {}).finally(() => (this.#introducing = undefined));
    await this.#introducing;
    const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' };
    await this.#options.carrier.deliver(Buffer.from(JSON.stringify(initialized)), this.#session);
  }

  /** `initialize` changes nothing twice: it is asked again until there is an answer. */
  async #takeIn(line: Buffer, tell: (text: string) => Promise<void> | void): Promise<void> {
    for (const end = Date.now() + PATIENCE; ;) {
      try {
        const { response } = await this.#options.carrier.deliver(line, undefined);
        const answer = await response;
        const text = await textOf(answer);
        const key = answer.headers['mcp-session-id'];
        const { result } = JSON.parse(text) as { result?: unknown };
        await tell(text);
        if (typeof key !== 'string' || !isFields(result)) return;
        const session = { key, version: String(result.protocolVersion) };
        this.#session = session;
        this.#inBackground(this.#hear(session), false);
        return;
      } catch (error) {
        if (error instanceof ProxyError || Date.now() > end) throw error;
        await delay(RETRY);
      }
    }
  }

  /** The stream of what belongs to no request, for as long as the client is known by that key. */
  async #hear(session: Session): Promise<void> {
    const stream = { last: undefined as string | undefined };
    const { presence, carrier } = this.#options;
    while (this.#session === session && !this.#ended) {
      try {
        const answer = await carrier.get(session, stream.last);
        if (answer.statusCode === 404) return void answer.resume(); // the next request introduces the client again
        if (answer.statusCode === 200) await carrier.relay(answer, stream, (text) => carrier.write(text));
        else answer.resume();
      } catch {
        // It broke, and is taken up again.
      }
      await delay(RETRY, undefined, { ref: false });
      if (!this.#ended && !(await presence.ensure(false).catch(() => false))) await presence.next();
    }
  }

  // -- requests under way ----------------------------------------------------------------------------------------

  /** @returns the session it was sent in */
  async #post(open: Open): Promise<Session | undefined> {
    await this.#introducing?.catch(() => {});
    const session = open.modern ? undefined : this.#session;
    open.sent = await this.#options.carrier.deliver(open.line, session);
    return session;
  }

  /** Sees to it that the request is answered, once, whatever breaks meanwhile. */
  async #follow(open: Open, session: Session | undefined): Promise<void> {
    try {
      let response = open.sent?.response;
      for (let ends = 0; ends < 2; await delay(RETRY)) {
        try {
          if (response) await this.#relay(await response, open);
          ends += 1; // a stream that ends without the answer is asked for it once more
        } catch (error) {
          if (error instanceof ProxyError) throw error;
        }
        if (open.answered || open.cancelled) return;
        if (session && open.last !== undefined) response = this.#options.carrier.resume(session, open.last);
        else if (isRepeatable(open.method)) {
          session = await this.#post(open);
          response = open.sent?.response;
        } else break;
      }
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      if (error.code === 'BODY_TOO_LARGE') return this.#refuse(error, open.id);
      if (error.code === 'SESSION_NOT_FOUND' && session && !open.again) {
        open.again = true;
        await this.#introduceAgain(session);
        return this.#follow(open, await this.#post(open));
      }
    }
    await this.#answerUnknown(open);
  }

  // -- to the client ---------------------------------------------------------------------------------------------

  /** @throws {ProxyError} SESSION_NOT_FOUND when the proxy does not know the client any more */
  async #relay(answer: IncomingMessage, open: Open): Promise<void> {
    if (isStream(answer)) return this.#options.carrier.relay(answer, open, (text) => this.#tell(text, open));
    const text = await textOf(answer);
    if (text === '') return giveUp(open); // as the client wished
    const { error } = JSON.parse(text) as { error?: { data?: { code?: unknown } } };
    if (error?.data?.code === 'SESSION_NOT_FOUND' && answer.statusCode === 404 && !open.modern && !open.again)
      throw new ProxyError('SESSION_NOT_FOUND', 'The proxy does not know the client.');
    await this.#tell(withId(text, open.id), open);
  }

  async #tell(text: string, open: Open): Promise<void> {
    const message = JSON.parse(text) as Fields;
    if (!('method' in message)) {
      open.answered = true;
      this.#close(open);
    }
    if (message.method === ACKNOWLEDGED) {
      if (open.acknowledged) return;
      open.acknowledged = true;
    }
    await this.#options.carrier.write(text);
  }

  /** What is wrong with a message that was no request; all else about it concerns nobody. */
  async #relayRefusal(answer: IncomingMessage, id: Id | null): Promise<void> {
    const text = await textOf(answer);
    if (answer.statusCode === 400 || answer.statusCode === 413)
      await this.#options.carrier.write(withId(text, id));
  }

  #answerUnknown(open: Open): Promise<void> {
    if (open.method !== 'tools/call')
      return this.#refuse(new ProxyError('OUTCOME_UNKNOWN', UNKNOWN), open.id);
    const complete = open.modern ? { resultType: 'complete' } : {};
    const result = { ...complete, content: [{ type: 'text', text: UNKNOWN }], isError: true };
    return this.#options.carrier.write(JSON.stringify({ jsonrpc: '2.0', id: open.id, result }));
  }

  #refuse(thrown: unknown, id: Id | null): Promise<void> {
    return this.#options.carrier.write(
      JSON.stringify({ jsonrpc: '2.0', id, error: asProxyError(thrown).toJsonRpc() }),
    );
  }

  /** @param awaited whether the end of input waits for it */
  #inBackground(job: Promise<void>, awaited = true): void {
    const safe = job.catch((error: unknown) => this.#options.onproblem(messageOf(error)));
    if (!awaited) return;
    this.#background.add(safe);
    void safe.finally(() => this.#background.delete(safe));
  }
}

/** What changes nothing when it is asked twice. */
function isRepeatable(method: string): boolean {
  return method === LISTEN || method === 'server/discover' || !isWorthKeeping(method);
}

function giveUp(open: Open): void {
  open.cancelled = true;
  open.sent?.abort();
}

/** A refusal that came before the request was read names it by no id. */
function withId(text: string, id: Id | null): string {
  if (id === null) return text;
  const message = JSON.parse(text) as Fields;
  return message.id === null ? JSON.stringify({ ...message, id }) : text;
}

function parse(line: Buffer): Fields | undefined {
  if (!isUtf8(line)) return undefined;
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return isFields(value) ? value : undefined;
  } catch {
    return undefined; // the proxy says what is wrong with it
  }
}
