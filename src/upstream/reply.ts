import type { ServerResponse } from 'node:http';
import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Message } from '../protocol/messages.js';
import { SSE_HEADERS, sseEvent, sseMessage, ssePriming } from '../protocol/sse.js';
import type { Answers } from '../session/answers.js';
import { eventId, type Outbox, type Reader } from '../session/outbox.js';
import type { Outboxes } from '../session/outboxes.js';
import type { Store, StreamHead } from '../store/types.js';
import type { Answer, Stream } from './legacy.js';
import { SseReader } from './sse-stream.js';

/**
 * A stored answer that is quicker than this goes out in one piece, milliseconds; after it the client gets its stream
 * and where to resume it.
 */
const PRIMING_DELAY = 20;

export interface ReplyOptions {
  store: Store;
  outboxes: Outboxes;
  answers: Answers;
  head: StreamHead;
  response: ServerResponse;
  /** The client takes a stream for an answer. */
  streams: boolean;
  /** It knows priming events. */
  primes: boolean;
  /** Another process may take the answer, should this one die. */
  succeeded: boolean;
}

/**
 * The answer to one POST: a stream that is stored and can be resumed, as soon as there is more than the response or
 * from the start; else the response alone, which is simply asked for again when it is lost.
 */
export class Reply implements Stream {
  readonly #options: ReplyOptions;
  #outbox: Outbox | undefined;
  #ended = false;

  constructor(options: ReplyOptions) {
    this.#options = options;
  }

  /** Makes the answer a stored stream. */
  keep(): Outbox {
    if (this.#outbox) return this.#outbox;
    const { outboxes, answers, head, response, primes } = this.#options;
    const outbox = outboxes.open(head);
    this.#outbox = outbox;
    answers.add(outbox);
    if (!response.destroyed) new LateReader(response, outbox, primes);
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
    this.keep().send(message);
  }

  /** Of an answer that is a stored stream from the start. */
  get note(): Stream['note'] {
    const { succeeded } = this.#options;
    const outbox = this.#outbox;
    return succeeded && outbox ? (sent) => outbox.note(sent) : undefined;
  }

  get arrived(): Stream['arrived'] {
    const outbox = this.#outbox;
    return outbox && this.#options.succeeded ? (answer) => outbox.arrived(answer) : undefined;
  }

  /** The response; without one the answer ends empty, as for a cancelled request. */
  end({ response: message, record }: Answer): void {
    this.#ended = true;
    const { response, answers, store } = this.#options;
    if (message) {
      if (this.#outbox) return this.#outbox.send(message, { last: true, record });
      if (!record) return this.#write(message);
      const write = () => this.#write(message);
      store.write(record).then(write, (error: unknown) => {
        log.upstream.error(messageOf(error)); // the call has taken place: its answer is due all the same
        write();
      });
      return;
    }
    if (this.#outbox) answers.forget(this.#outbox.stream);
    if (response.headersSent) response.end();
    else response.writeHead(202).end();
  }

  #write(message: Message): void {
    const { response, streams } = this.#options;
    const data = JSON.stringify(message);
    if (streams) {
      sendStream(response, sseMessage(data));
    } else {
      const body = Buffer.from(data);
      response
        .writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length })
        .end(body);
    }
  }
}

/** A whole stream in one piece: its length is known, so it needs no chunks. */
function sendStream(response: ServerResponse, events: string): void {
  const body = Buffer.from(events);
  response.writeHead(200, { ...SSE_HEADERS, 'Content-Length': body.length }).end(body);
}

/** Answers in one piece while there is hope for it, else becomes a stream. */
class LateReader implements Reader {
  readonly #response: ServerResponse;
  readonly #outbox: Outbox;
  readonly #primed: boolean;
  readonly #timer: NodeJS.Timeout;

  constructor(response: ServerResponse, outbox: Outbox, primed: boolean) {
    this.#response = response;
    this.#outbox = outbox;
    this.#primed = primed;
    this.#timer = setTimeout(() => void this.#open(), PRIMING_DELAY);
    response.once('close', this.#detach);
    outbox.attach(this, 0);
  }

  event(): boolean {
    // The stream's own reader takes it out of the store, with all that follows.
    void this.#open();
    return false;
  }

  end(id?: string, data?: string): void {
    clearTimeout(this.#timer);
    if (this.#response.headersSent) return;
    const priming = this.#primed ? ssePriming(eventId(this.#outbox.stream, 0)) : '';
    const event = id !== undefined && data !== undefined ? sseEvent(id, data) : '';
    sendStream(this.#response, priming + event);
  }

  readonly #detach = () => {
    clearTimeout(this.#timer);
    this.#outbox.detach(this);
  };

  async #open(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      await this.#outbox.keep();
    } catch (error) {
      log.upstream.error(messageOf(error)); // the answer may still come; it cannot be resumed
    }
    if (this.#response.destroyed || this.#response.headersSent) return;
    this.#response.off('close', this.#detach);
    this.#outbox.detach(this);
    new SseReader(this.#response, this.#outbox, 0, this.#primed);
  }
}
