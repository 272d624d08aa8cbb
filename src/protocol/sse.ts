import { LineSplitter } from './lines.js';

/**
 * One server-sent event. `data` must be a JSON text on one line, `id` one of ours: neither can hold a line break, so
 * nothing a server sends can forge an event.
 */
export function sseEvent(id: string, data: string): string {
  return `id: ${id}\nevent: message\ndata: ${data}\n\n`;
}

/** A message that cannot be asked for again. */
export function sseMessage(data: string): string {
  return `event: message\ndata: ${data}\n\n`;
}

/** How soon a client is to come back for a broken stream, milliseconds; the SDK's own default is a second. */
const RETRY = 300;

/** 2025-11-25, transports: an event with an id and empty data primes the client to resume this stream. */
export function ssePriming(id: string): string {
  return `id: ${id}\nretry: ${RETRY}\ndata: \n\n`;
}

/** A comment: keeps the connection warm, is no message. */
export const SSE_HEARTBEAT = ': keep-alive\n\n';

export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const;

export interface EventReader {
  /** The data of one event that is a message. */
  data(text: string): void;
  /** After its data, or without any: the ID of an event, from which the stream can be resumed. */
  id?(id: string): void;
  /** An event beyond the limit was passed over; its length in bytes, as far as it was read. */
  tooLong(length: number): void;
}

/** Reads a stream of server-sent events as it comes; linear in its bytes. */
export class EventSplitter {
  readonly #lines: LineSplitter;
  #data: string[] = [];
  #id: string | undefined;
  #length = 0;

  /** @param limit bytes of one event's data */
  constructor(limit: number, reader: EventReader) {
    this.#lines = new LineSplitter(limit, {
      line: (line) => {
        const text = line.toString('utf8').replace(/\r$/, '');
        if (text === '') return this.#end(limit, reader);
        const [, field, data = ''] = /^(data|id)(?:: ?(.*))?$/s.exec(text) ?? [];
        if (field === undefined) return;
        if (field === 'id') return void (this.#id = data);
        this.#length += line.length;
        if (this.#length <= limit) this.#data.push(data);
      },
      blank: () => this.#end(limit, reader),
      tooLong: (_head, _tail, length) => (this.#length += length),
    });
  }

  push(chunk: Buffer): void {
    this.#lines.push(chunk);
  }

  #end(limit: number, reader: EventReader): void {
    const [data, id, length] = [this.#data.join('\n'), this.#id, this.#length];
    this.#data = [];
    this.#id = undefined;
    this.#length = 0;
    if (length > limit) reader.tooLong(length);
    else if (data !== '') reader.data(data); // an event without data primes a stream, and is no message
    if (id !== undefined) reader.id?.(id);
  }
}
