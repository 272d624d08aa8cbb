import { log } from '../logger.js';
import { messageOf } from '../errors.js';
import type { Message } from '../protocol/messages.js';
import type { SentRequest, StreamHead } from '../store/types.js';
import type { Arrived } from './exchange.js';
import type { Outboxes } from './outboxes.js';

/** Rows taken from the store at a time when a reader catches up. */
const PAGE = 32;

/** So many times the limits are kept for a reader that is connected and slow. */
const SLOW_READER = 10;

/** The connection that reads a stream just now. */
export interface Reader {
  /** @returns false when the connection's buffer is full: nothing more until `resume` */
  event(id: string, data: string): boolean;
  /** No message follows, but for the one given. */
  end(id?: string, data?: string): void;
}

/** An event ID names the stream and the message in it, so that it is unique over all streams of the session. */
export function eventId(stream: number, seq: number): string {
  return `${stream.toString(36)}-${seq.toString(36)}`;
}

/** @returns undefined for anything that `eventId` did not make */
export function parseEventId(text: string): { stream: number; seq: number } | undefined {
  const [, stream, seq] = /^([0-9a-z]{1,7})-([0-9a-z]{1,9})$/.exec(text) ?? [];
  return stream && seq ? { stream: parseInt(stream, 36), seq: parseInt(seq, 36) } : undefined;
}

/**
 * The messages of one upstream stream, in order. Each is stored, then written; a reader that was away, or is slow, is
 * served out of the store, so that it costs no memory and loses nothing.
 */
export class Outbox {
  readonly stream: number;
  readonly #outboxes: Outboxes;
  #seq: number;
  #ended: boolean;
  #reader: Reader | undefined;
  /** The last message the present reader has got. */
  #cursor: number;
  #blocked = false;

  #sinceTrim = { messages: 0, bytes: 0 };

  /** What the stream is for; undefined where only the store knows. */
  #head: StreamHead | undefined;
  #headStored: boolean;
  /** Where its request is. Most are answered before anybody needs to know, so it is only worked out then. */
  #sent: (() => SentRequest) | undefined;
  #arrived = false;

  /** Use `Outboxes`. @param head what a new stream is for; nothing is stored of it before its first message or `keep` */
  constructor(
    outboxes: Outboxes,
    stream: number,
    { seq, last }: { seq: number; last: boolean },
    head: StreamHead | undefined,
  ) {
    this.#outboxes = outboxes;
    this.stream = stream;
    this.#seq = seq;
    this.#cursor = seq;
    this.#ended = last;
    this.#head = head;
    this.#headStored = head === undefined;
  }

  /** Stores what the stream is for: when this resolves, the client may be told where to resume it. */
  async keep(): Promise<void> {
    const head = this.#takeHead();
    const { store } = this.#outboxes;
    if (head) await store.write(() => store.streams.open(this.stream, head));
  }

  /**
   * Notes where the request is, so that another process could take its answer: stored when this resolves, or together
   * with the head. Until then the client does not know the stream and could not come back for it.
   */
  note(sent: () => SentRequest): Promise<void> | undefined {
    if (this.#headStored) {
      const { store } = this.#outboxes;
      this.#head ??= store.streams.head(this.stream);
      if (!this.#head) return undefined;
      const head = { ...this.#head, sent: sent() };
      return store.write(() => store.streams.open(this.stream, head), 'process');
    }
    this.#sent = sent;
    return undefined;
  }

  /** The answer is here and not stored yet: the next worker is to have it, should this one die now. */
  arrived(answer: Arrived): void {
    if (!this.#headStored) return; // the client does not know the stream, and could not come back for it
    this.#arrived = true;
    this.#outboxes.arrived(this.stream, answer);
  }

  /** @returns what is to be stored now, once; of a request that is answered no more than what it was */
  #takeHead(answered = false): StreamHead | undefined {
    if (this.#headStored || !this.#head) return undefined;
    this.#headStored = true;
    const sent = this.#sent;
    this.#sent = undefined;
    return answered || !sent ? this.#head : { ...this.#head, sent: sent() };
  }

  /**
   * @param last whether the stream ends with this message
   * @param record writes what is to be stored together with it
   */
  send(
    message: Message,
    { last = false, record }: { last?: boolean; record?: (() => void) | undefined } = {},
  ): void {
    const { store, clock } = this.#outboxes;
    const data = JSON.stringify(message);
    const seq = ++this.#seq;
    const head = this.#takeHead(last);
    const write = store.write(() => {
      if (head && !last) store.streams.open(this.stream, head); // in a row of its own: it may change
      store.streams.append(this.stream, seq, data, last, clock.now(), last ? head : undefined);
      record?.();
      this.#sinceTrim.messages += 1;
      this.#sinceTrim.bytes += data.length;
      if (this.#outboxes.isWorthTrimming(this.#sinceTrim)) this.trim();
    });
    const deliver = () => {
      if (last) this.#ended = true;
      if (last && this.#arrived) this.#outboxes.arrived(this.stream, undefined);
      this.#deliver(seq, data);
    };
    // A message that cannot be stored is still worth more to the client now than none at all.
    write.then(deliver, (error: unknown) => {
      log.session.error({ stream: this.stream }, `A message cannot be replayed: ${messageOf(error)}`);
      deliver();
    });
  }

  /** Takes away what is too much; of what a connected reader has not got yet, only what is far too much. */
  trim(): void {
    this.#sinceTrim = { messages: 0, bytes: 0 };
    const { store } = this.#outboxes;
    // The last one that a reader was given may still be on its way to it.
    store.streams.trim(this.stream, this.#outboxes.limits(1), this.#reader ? this.#cursor - 1 : undefined);
    if (this.#reader) store.streams.trim(this.stream, this.#outboxes.limits(SLOW_READER));
  }

  /** Makes `reader` the one reader, with all messages after `after`; the one before it is ended. */
  attach(reader: Reader, after = this.#cursor): void {
    const before = this.#reader;
    this.#reader = reader;
    this.#outboxes.read.add(this);
    // An id from the future is forged, or of a store that was put back: it must not skip what comes.
    this.#cursor = Math.min(after, this.#seq);
    this.#blocked = false;
    before?.end();
    this.#catchUp();
  }

  /** The connection is gone; messages go on being stored. */
  detach(reader: Reader): void {
    if (this.#reader === reader) this.#takeReader();
  }

  /** Ends the connection that reads; the stream itself stays. */
  release(): void {
    this.#takeReader()?.end();
  }

  /** The reader takes more again. */
  resume(reader: Reader): void {
    if (this.#reader !== reader) return;
    this.#blocked = false;
    this.#catchUp();
  }

  /** The last message that went to a reader. */
  get delivered(): number {
    return this.#cursor;
  }

  /** Whether somebody reads. */
  get read(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether somebody reads who has not got everything yet. */
  get behind(): boolean {
    return this.read && this.#cursor < this.#seq;
  }

  get ended(): boolean {
    return this.#ended;
  }

  #deliver(seq: number, data: string): void {
    if (!this.#reader || this.#blocked || seq <= this.#cursor) return;
    if (seq !== this.#cursor + 1) this.#catchUp();
    else this.#write(seq, data);
  }

  #catchUp(): void {
    while (this.#reader && !this.#blocked && (this.#cursor < this.#seq || this.#ended)) {
      const rows = this.#outboxes.store.streams.read(this.stream, this.#cursor, PAGE);
      for (const { seq, data } of rows) if (!this.#blocked) this.#write(seq, data);
      if (rows.length < PAGE) break;
    }
    // Everything had been read before.
    if (this.#ended && this.#cursor >= this.#seq) this.#takeReader()?.end();
  }

  #write(seq: number, data: string): void {
    this.#cursor = seq;
    const id = eventId(this.stream, seq);
    if (this.#ended && seq === this.#seq) this.#takeReader()?.end(id, data);
    else this.#blocked = this.#reader?.event(id, data) === false;
  }

  #takeReader(): Reader | undefined {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#outboxes.read.delete(this);
    return reader;
  }
}
