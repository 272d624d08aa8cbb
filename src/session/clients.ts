import type { Notification } from '../protocol/messages.js';
import type { Attachment } from './attachment.js';
import type { Rung } from './correlate.js';
import type { Outlet } from './exchange.js';

/** Clients on their way to other sessions too, of which a session keeps the latest in mind. */
const MAX_GUESTS = 8;
const MAX_REMEMBERED = 100;

/** Hears what concerns a session and no request, without being asked anything. */
export interface Listener {
  notify(notification: Notification): void;
  /** The session is over. */
  close(): void;
}

/**
 * Who is at a session just now: attachments, those of other sessions whose requests came here, and those who only
 * listen. And how they came.
 */
export class Clients {
  readonly attachments = new Map<string, Attachment>();
  readonly listeners = new Set<Listener>();
  /** Requests since this process started, by the rung that brought them. */
  readonly counts: Partial<Record<Rung, number>> = {};
  readonly #last = new Map<string, Rung>();
  readonly #guests = new Map<string, Attachment>();

  /** Whether anybody would hear of something. */
  get listening(): boolean {
    return (
      this.listeners.size > 0 ||
      [...this.attachments.values()].some(({ outlet }) => outlet?.connected === true)
    );
  }

  /**
   * One more request.
   * @param client what tells the session's clients apart
   * @returns whether the client comes for the first time, or by another rung than last time
   */
  count(rung: Rung, client: string): boolean {
    this.counts[rung] = (this.counts[rung] ?? 0) + 1;
    if (this.#last.get(client) === rung) return false;
    put(this.#last, client, rung, MAX_REMEMBERED);
    return true;
  }

  /** One that is attached to another session hears of this one too. */
  welcome(guest: Attachment): void {
    if (!this.attachments.has(guest.id)) put(this.#guests, guest.id, guest, MAX_GUESTS);
  }

  /** One that is attached to another session has left. */
  forget(guest: Attachment): void {
    this.#guests.delete(guest.id);
    this.#last.delete(guest.id);
  }

  notify(notification: Notification): void {
    for (const { outlet } of this.#all()) outlet?.notify(notification);
    for (const listener of this.listeners) listener.notify(notification);
  }

  /** A client that can be asked for what needs this capability: the one that came last. */
  outlet(capability: string | undefined): Outlet | undefined {
    return [...this.#all()]
      .map(({ outlet }) => outlet)
      .findLast((outlet) => outlet && (capability === undefined || capability in outlet.client.capabilities));
  }

  close(): void {
    for (const { outlet } of this.attachments.values()) outlet?.close?.();
    for (const listener of this.listeners) listener.close();
  }

  *#all(): Iterable<Attachment> {
    yield* this.attachments.values();
    yield* this.#guests.values();
  }
}

/** Puts an entry last; beyond the limit the first one goes. */
function put<Value>(map: Map<string, Value>, key: string, value: Value, limit: number): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > limit && oldest !== undefined) map.delete(oldest);
}
