import type { ServerResponse } from 'node:http';
import type { Clock } from '../clock.js';
import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Message, Request, Response } from '../protocol/messages.js';
import { SSE_HEADERS } from '../protocol/sse.js';
import { Outbox } from '../session/outbox.js';
import type { Store } from '../store/types.js';
import type { Stream } from './legacy.js';
import { SseReader } from './sse-stream.js';

export interface ReplyOptions {
  store: Store;
  clock: Clock;
  attachment: string;
  request: Request;
  response: ServerResponse;
  /** The client takes a stream for an answer. */
  streams: boolean;
  /** It knows priming events. */
  primes: boolean;
}

/**
 * The answer to one POST: a stream that is stored and can be resumed, as soon as there is more than the response or
 * from the start; else the response alone, which is simply asked for again when it is lost.
 */
export class Reply implements Stream {
  readonly #options: ReplyOptions;
  #outbox: Outbox | undefined;
  #waiting: { message: Message; last: boolean }[] | undefined;
  #ended = false;

  constructor(options: ReplyOptions) {
    this.#options = options;
  }

  /** Makes the answer a stored stream now; the client can resume it when this resolves. */
  async keep(): Promise<Outbox> {
    const { store, clock, attachment, request, response, primes } = this.#options;
    this.#waiting = [];
    const outbox = await Outbox.open(store, {
      attachment,
      request: JSON.stringify(request.id),
      method: request.method,
      openedAt: clock.now(),
    });
    this.#outbox = outbox;
    if (response.destroyed) response.end();
    else new SseReader(response, outbox, 0, primes);
    for (const { message, last } of this.#waiting) outbox.send(message, clock.now(), last);
    this.#waiting = undefined;
    return outbox;
  }

  /** Whether the client can resume the stream from before its first message. */
  get primes(): boolean {
    return this.#options.streams && this.#options.primes;
  }

  get open(): boolean {
    return this.#options.streams && !this.#ended;
  }

  get outbox(): Outbox | undefined {
    return this.#outbox;
  }

  send(message: Message): void {
    this.#put(message, false);
  }

  /** The response; without one the answer ends empty, as for a cancelled request. */
  end(message: Response | undefined): void {
    this.#ended = true;
    if (message && (this.#outbox || this.#waiting)) return this.#put(message, true);
    const { response, streams } = this.#options;
    if (!message) {
      this.#outbox?.forget();
      return void (response.headersSent ? response.end() : response.writeHead(202).end());
    }
    const data = JSON.stringify(message);
    if (streams) {
      response.writeHead(200, SSE_HEADERS).end(`event: message\ndata: ${data}\n\n`);
    } else {
      const body = Buffer.from(data);
      response
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length })
        .end(body);
    }
  }

  #put(message: Message, last: boolean): void {
    if (this.#outbox && !this.#waiting) return this.#outbox.send(message, this.#options.clock.now(), last);
    if (!this.#waiting) this.keep().catch((error: unknown) => log.upstream.error(messageOf(error)));
    this.#waiting?.push({ message, last });
  }
}
