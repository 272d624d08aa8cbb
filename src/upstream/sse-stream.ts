import type { ServerResponse } from 'node:http';
import { SSE_HEADERS, SSE_HEARTBEAT, sseEvent, ssePriming } from '../protocol/sse.js';
import { eventId, type Outbox, type Reader } from '../session/outbox.js';

/** Keeps middleboxes from cutting idle streams, milliseconds. Below 20 s it would hide half-open connections from TCP. */
const HEARTBEAT = 25_000;

const open = new Set<ServerResponse>();
let beating: NodeJS.Timeout | undefined;

/** Sends a heartbeat on the stream now and then, until it is closed. */
export function keepAlive(response: ServerResponse): void {
  open.add(response);
  response.on('close', () => open.delete(response));
  beating ??= setInterval(() => {
    for (const one of open) one.write(SSE_HEARTBEAT);
  }, HEARTBEAT).unref();
}

/** A client that does not read what it asked for is given up with this many bytes waiting. */
const MAX_UNREAD = 4 * 1024 ** 2;

/** Writes what no store keeps for the client; one that leaves too much unread is given up instead. */
export function writeUnlessUnread(response: ServerResponse, text: string): void {
  if (response.writableLength > MAX_UNREAD) response.destroy();
  else response.write(text);
}

/** One HTTP response as the reader of an outbox. */
export class SseReader implements Reader {
  readonly #response: ServerResponse;

  /**
   * Answers with a stream and connects it to the outbox.
   * @param after the last message the client has; undefined for whatever it has not been sent yet
   * @param primed whether the first event only names where to resume. 2025-11-25: SHOULD be sent at once
   */
  constructor(response: ServerResponse, outbox: Outbox, after: number | undefined, primed: boolean) {
    this.#response = response;
    response.writeHead(200, SSE_HEADERS);
    if (primed) response.write(ssePriming(eventId(outbox.stream, after ?? outbox.delivered)));
    else response.flushHeaders();
    response.on('drain', () => outbox.resume(this));
    response.on('close', () => outbox.detach(this));
    keepAlive(response);
    outbox.attach(this, after);
  }

  event(id: string, data: string): boolean {
    return this.#response.write(sseEvent(id, data));
  }

  end(id?: string, data?: string): void {
    this.#response.end(id !== undefined && data !== undefined ? sseEvent(id, data) : undefined);
  }
}
