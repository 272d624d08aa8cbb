import type { IncomingMessage } from 'node:http';
import type { Writable } from 'node:stream';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { asProxyError, ProxyError } from '../errors.js';
import { EventSplitter } from '../protocol/sse.js';
import type { Presence } from './presence.js';
import { NotTaken, type Sent, type Wire } from './wire.js';

/** The proxy bounds messages; this bounds what a broken line or event costs the shim, bytes. */
export const LONGEST = 256 * 1024 ** 2;

/** A message that the proxy does not take for so long is given up, milliseconds. */
export const PATIENCE = 30_000;
export const RETRY = 50;

export const UNKNOWN =
  'The connection to the proxy broke while the request was under way: the outcome is unknown. Look before you repeat it.';

/** A client with `initialize`, as the proxy knows it. */
export interface Session {
  key: string;
  version: string;
}

export interface CarrierOptions {
  wire: Wire;
  presence: Presence;
  /** Path of the MCP endpoint on the socket, with the session's address. */
  path: string;
  output: Writable;
}

/** Brings messages to the proxy and what it sends to the client. */
export class Carrier {
  readonly #options: CarrierOptions;

  constructor(options: CarrierOptions) {
    this.#options = options;
  }

  /** Sends a message until the proxy has taken it. @throws {ProxyError} when it does not, or cannot be had */
  async deliver(line: Buffer, session: Session | undefined): Promise<Sent> {
    const { wire, path, presence } = this.#options;
    const headers = { ...headersOf(session), Accept: 'application/json, text/event-stream' };
    for (const end = Date.now() + PATIENCE; ;) {
      try {
        await presence.ensure(true);
        const sent = wire.send({ method: 'POST', path, body: line, headers });
        await sent.taken;
        return sent;
      } catch (error) {
        if (!(error instanceof NotTaken) || Date.now() > end) throw asProxyError(error, 'SERVER_UNAVAILABLE');
        await delay(RETRY);
      }
    }
  }

  /** Opens the client's own stream, or the one of an event again, from there on. */
  get(session: Session, last: string | undefined): Promise<IncomingMessage> {
    const { wire, path } = this.#options;
    const after = last === undefined ? {} : { 'Last-Event-ID': last };
    const headers = { ...headersOf(session), ...after, Accept: 'text/event-stream' };
    return wire.send({ method: 'GET', path, headers }).response;
  }

  /**
   * Opens the stream of a request again, after an event.
   * @throws {ProxyError} OUTCOME_UNKNOWN where nothing is known of it, or what the proxy said that cannot be started; any
   * other error when it may be tried again
   */
  async resume(session: Session, last: string): Promise<IncomingMessage> {
    await this.#options.presence.ensure(true);
    const answer = await this.get(session, last);
    if (isStream(answer)) return answer;
    answer.resume();
    if (answer.statusCode === 503) throw new Error('The proxy is about to end.');
    throw new ProxyError('OUTCOME_UNKNOWN', UNKNOWN);
  }

  /**
   * Reads a stream to its end, as fast as its messages are told. `stream.last` is where it could be taken up again.
   * @throws {ProxyError} OUTCOME_UNKNOWN when it is another stream than before; any other error when it breaks
   */
  async relay(
    answer: IncomingMessage,
    stream: { last: string | undefined },
    tell: (text: string) => Promise<void>,
  ): Promise<void> {
    const steps: (() => Promise<void> | void)[] = [];
    const events = new EventSplitter(LONGEST, {
      data: (text) => steps.push(() => tell(text)),
      id: (id) =>
        steps.push(() => {
          // In place of a stream that the proxy has forgotten it sends the client's own.
          if (stream.last !== undefined && streamOf(stream.last) !== streamOf(id))
            throw new ProxyError('OUTCOME_UNKNOWN', UNKNOWN);
          stream.last = id;
        }),
      tooLong: (length) => {
        throw new ProxyError('BODY_TOO_LARGE', `An answer of ${length} bytes is larger than a pipe takes.`);
      },
    });
    for await (const chunk of answer) {
      events.push(chunk as Buffer);
      for (const step of steps.splice(0)) await step();
    }
  }

  /** Resolves when the client can take more. */
  async write(text: string): Promise<void> {
    const { output } = this.#options;
    if (!output.write(`${text}\n`) && !output.destroyed) await once(output, 'drain');
  }

  close(): void {
    this.#options.wire.close();
  }
}

export function isStream({ headers, statusCode }: IncomingMessage): boolean {
  return statusCode === 200 && headers['content-type']?.startsWith('text/event-stream') === true;
}

function headersOf(session: Session | undefined): Record<string, string> {
  return session ? { 'Mcp-Session-Id': session.key, 'MCP-Protocol-Version': session.version } : {};
}

/** An event ID begins with the stream's. */
function streamOf(event: string): string {
  return event.slice(0, event.indexOf('-'));
}
