import type { Clock } from '../clock.js';
import { ProxyError, asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { SUBSCRIPTION_ID } from '../protocol/envelope.js';
import {
  isFields,
  metaOf,
  type Fields,
  type Id,
  type Notification,
  type Request,
  type Response,
} from '../protocol/messages.js';

/** Waits before a broken subscription is opened again, milliseconds; the last one counts for all that follow. */
const BACK_OFF = [500, 1000, 2000, 5000, 15_000, 60_000];

/** How long a server may take to acknowledge; whoever waits to subscribe is then told that it did not. Milliseconds. */
const ACKNOWLEDGE_WAIT = 10_000;

const LISTS = { tools: 'toolsListChanged', prompts: 'promptsListChanged', resources: 'resourcesListChanged' };

export interface ListenOptions {
  server: string;
  clock: Clock;
  nextId: () => string;
  /** Sends a request as from the proxy itself, and a notification. */
  send: (message: Request | Notification) => Promise<void>;
}

/**
 * 2026-07-28, subscriptions: one `subscriptions/listen` kept open, that tells of changed lists and of the resources the
 * middle has subscribed to. When those change, the next one is open before the last one is closed.
 */
export class Listen {
  readonly #options: ListenOptions;
  readonly #uris = new Set<string>();
  #lists: Fields = {};
  /** The subscription that was acknowledged. */
  #open: Id | undefined;
  #opening: { id: Id; resolve: () => void; reject: (error: ProxyError) => void } | undefined;
  /** Changes one after the other; a change that waits covers those that come while it does. */
  #change: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #failures = 0;
  #stopTimer: () => void = () => {};
  #closed = false;

  constructor(options: ListenOptions) {
    this.#options = options;
  }

  /** @param capabilities of the server: it is heard of the lists that it says change */
  start(capabilities: unknown): Promise<void> {
    for (const [key, name] of Object.entries(LISTS)) {
      const offered = isFields(capabilities) ? capabilities[key] : undefined;
      if (isFields(offered) && offered.listChanged === true) this.#lists[name] = true;
    }
    return this.#changed();
  }

  /** @throws {ProxyError} what keeps the server from telling of the resource; then nothing has changed */
  async subscribe(uri: string, subscribed: boolean): Promise<void> {
    if (subscribed === this.#uris.has(uri)) return;
    if (subscribed) this.#uris.add(uri);
    else this.#uris.delete(uri);
    try {
      await this.#changed();
    } catch (error) {
      if (subscribed) this.#uris.delete(uri);
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#stopTimer();
    this.#opening?.resolve();
  }

  /** @returns whether the message is part of the subscription's own course */
  receive(message: Notification | Response): boolean {
    if (!('method' in message))
      return this.ended(message.id, 'error' in message ? message.error.message : '');
    const { method, params } = message;
    if (method === 'notifications/subscriptions/acknowledged') {
      const opening = this.#opening;
      if (opening && metaOf(params)?.[SUBSCRIPTION_ID] === opening.id) opening.resolve();
      return true;
    }
    // Over stdio a server may end a subscription so, or by an empty result.
    if (method !== 'notifications/cancelled') return false;
    return this.ended(params?.requestId, 'the server ended the subscription');
  }

  /** The request is over. @returns whether it was one of ours */
  ended(id: unknown, reason: string): boolean {
    const text = `Server "${this.#options.server}" tells of no changes: ${reason || 'the server ended the subscription'}.`;
    if (id !== undefined && id === this.#opening?.id) {
      this.#opening.reject(new ProxyError('SERVER_UNAVAILABLE', text));
      return true;
    }
    if (id === undefined || id !== this.#open) return false;
    this.#open = undefined;
    log.downstream.debug({ server: this.#options.server }, text);
    this.#later();
    return true;
  }

  /** Without what belongs to the subscription: the middle has its own. */
  static bare(notification: Notification): Notification {
    const meta = metaOf(notification.params);
    if (!notification.params || meta?.[SUBSCRIPTION_ID] === undefined) return notification;
    const { [SUBSCRIPTION_ID]: _, ...others } = meta;
    const { _meta: __, ...params } = notification.params;
    const rest = Object.keys(others).length === 0 ? params : { ...params, _meta: others };
    const { params: ___, ...bare } = notification;
    return Object.keys(rest).length === 0 ? bare : { ...bare, params: rest };
  }

  #changed(): Promise<void> {
    if (!this.#change) {
      this.#change = this.#reopen().finally(() => (this.#change = undefined));
      return this.#change;
    }
    this.#next ??= this.#change
      .catch(() => {}) // told to whoever asked for that change
      .then(() => {
        this.#next = undefined;
        return this.#changed();
      });
    return this.#next;
  }

  async #reopen(): Promise<void> {
    this.#stopTimer();
    const before = this.#open;
    const notifications: Fields = { ...this.#lists };
    if (this.#uris.size > 0) notifications.resourceSubscriptions = [...this.#uris];
    if (Object.keys(notifications).length > 0) {
      const id = this.#options.nextId();
      const acknowledged = new Promise<void>((resolve, reject) => (this.#opening = { id, resolve, reject }));
      acknowledged.catch(() => {}); // told below, once the sending itself has not failed
      const request: Request = {
        jsonrpc: '2.0',
        id,
        method: 'subscriptions/listen',
        params: { notifications },
      };
      const stop = this.#options.clock.after(ACKNOWLEDGE_WAIT, () =>
        this.ended(id, 'it did not acknowledge'),
      );
      try {
        await this.#options.send(request);
        await acknowledged;
      } finally {
        stop();
        this.#opening = undefined;
      }
      this.#open = id;
      this.#failures = 0;
    } else this.#open = undefined;
    if (before !== undefined && !this.#closed)
      await this.#options.send({
        jsonrpc: '2.0',
        method: 'notifications/cancelled',
        params: { requestId: before },
      });
  }

  #later(): void {
    if (this.#closed) return;
    const wait = BACK_OFF[Math.min(this.#failures++, BACK_OFF.length - 1)] ?? 0;
    this.#stopTimer = this.#options.clock.after(wait, () => {
      this.#changed().catch((error: unknown) => {
        log.downstream.debug({ server: this.#options.server }, messageOf(asProxyError(error)));
        this.#later();
      });
    });
  }
}
