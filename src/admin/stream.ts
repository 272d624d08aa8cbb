import type { ServerResponse } from 'node:http';
import { SSE_HEADERS, SSE_HEARTBEAT, sseEvent, ssePriming } from '../protocol/sse.js';
import type { EventView } from './door.js';
import type { Live } from './route.js';

/** Keeps middleboxes from cutting idle streams, milliseconds. */
const HEARTBEAT = 25_000;

/** What a reader may leave unread before it is sent away to come back later, bytes. */
const MOST_UNREAD = 4 * 1024 ** 2;

/** One HTTP response that carries events until its reader leaves, the session is closed or the proxy stops. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #onend: () => void;
  #early: EventView[] | undefined = [];
  #stop: () => void = () => {};
  #beat: NodeJS.Timeout | undefined;

  constructor(response: ServerResponse, onend: () => void) {
    this.#response = response;
    this.#onend = onend;
  }

  /** Answers when it is sure that there is something to follow. @throws {ProxyError} */
  async open({ after, start }: Live): Promise<void> {
    const response = this.#response;
    this.#stop = await start((event) => (this.#early ? this.#early.push(event) : this.#send(event)));
    response.on('close', () => this.#ended());
    if (response.destroyed) return this.#ended();
    response.writeHead(200, SSE_HEADERS);
    const early = this.#early ?? [];
    this.#early = undefined;
    // So that a reader whose connection breaks before the first event knows where to go on.
    const [first] = early;
    response.write(ssePriming(String(first ? first.seq - 1 : after)));
    this.#beat = setInterval(() => response.write(SSE_HEARTBEAT), HEARTBEAT).unref();
    for (const event of early) this.#send(event);
  }

  end(): void {
    this.#ended();
    this.#response.end();
  }

  #send(event: EventView): void {
    if (this.#response.writableEnded) return;
    this.#response.write(sseEvent(String(event.seq), JSON.stringify(event)));
    const last = event.type === 'state' && event.data.to === 'closed';
    if (last || this.#response.writableLength > MOST_UNREAD) this.end();
  }

  #ended(): void {
    clearInterval(this.#beat);
    this.#stop();
    this.#onend();
  }
}
