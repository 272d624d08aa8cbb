import type { Principal } from '../auth/principal.js';
import type { Clock } from '../clock.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Store } from '../store/types.js';
import type { Attachment } from './attachment.js';
import { hashKey, newAttachmentKey } from './ids.js';
import { silent, type Outlet } from './exchange.js';
import type { SessionManager } from './manager.js';
import { Running } from './running.js';
import type { Session } from './session.js';

/** How stale the stored time of a client's last request may be, milliseconds. */
const TOUCH_EVERY = 600_000;

/** A silent client's link stays in memory for this long, milliseconds; its next request brings it back. */
const KEPT_IN_MEMORY = 3 * TOUCH_EVERY;

/** What a server is told that asks a client of an earlier process which is not here again. */
const AWAY = { code: -32603, message: 'The client is away.' };

const EXPIRED_AT_ONCE = 500;

/** A client's attachment with the session it leads to. */
export interface Attached {
  session: Session;
  readonly attachment: Attachment;
}

/** The clients' links to sessions, by the keys they hold. */
export class Attachments {
  readonly #manager: SessionManager;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #attached = new Map<string, Attached>();
  readonly #inherited = new Map<string, Running>();
  /** Clients of an earlier process, which may be here again meanwhile. */
  readonly #awaited = new Set<Attached>();

  /** @param manager whose sweep takes the links along */
  constructor(manager: SessionManager, store: Store, clock: Clock) {
    this.#manager = manager;
    this.#store = store;
    this.#clock = clock;
    manager.ondrop = (session) => {
      for (const { key } of session.clients.attachments.values()) this.#attached.delete(key);
    };
    manager.onsweep = (retention) => this.#sweep(retention);
  }

  /**
   * Links a client to a session.
   * @param owner whether the session was made for this very client, so that its DELETE ends it
   * @param key what the client is to present; by default a secret that nobody else knows
   */
  attach(session: Session, client: ClientProfile, owner: boolean, key = newAttachmentKey()): Attached {
    // A key of the client's own may be left from a session that is closed.
    this.#store.attachments.delete(hashKey(key));
    const attachment: Attachment = {
      id: hashKey(key),
      key,
      owner,
      stream: this.#store.nextId(),
      client,
      usedAt: this.#clock.now(),
      running: new Running(),
      outlet: undefined,
    };
    this.#store.attachments.insert({
      id: attachment.id,
      session: session.id,
      client: JSON.stringify(client),
      owner,
      stream: attachment.stream,
      createdAt: attachment.usedAt,
      usedAt: attachment.usedAt,
    });
    return this.#remember(session, attachment);
  }

  /** For requests that an earlier process took from a client, until it is here again. @param id of the attachment */
  inherited(id: string): Running {
    const running = this.#inherited.get(id) ?? new Running();
    this.#inherited.set(id, running);
    return running;
  }

  /** Until the clients of an earlier process are here again, what concerns them waits on their streams. */
  awaitClients(session: Session): void {
    const since = this.#clock.ago(KEPT_IN_MEMORY);
    for (const { id, client, owner, stream, usedAt } of this.#store.attachments.of(session.id, since)) {
      const outbox = this.#manager.outboxes.await(stream);
      const absent = silent(profileIn(client));
      const outlet: Outlet = {
        ...absent,
        notify: (notification) => outbox.send(notification),
        ask: () => ({ answer: Promise.resolve({ error: AWAY }), cancel: () => {} }),
      };
      const running = new Running(); // those of the earlier process are in `inherited`
      const attachment = { id, key: '', owner, stream, client: absent.client, usedAt, running, outlet };
      session.clients.attachments.set(id, attachment);
      this.#awaited.add({ session, attachment });
    }
  }

  /** The client introduced itself anew. */
  introduce(attachment: Attachment, client: ClientProfile): void {
    attachment.client = client;
    this.#store.attachments.setClient(attachment.id, JSON.stringify(client));
  }

  /**
   * What a client's key leads to. A foreign, a closed and an unknown key are all the same: undefined.
   * @throws {ProxyError} SESSION_IN_USE
   */
  find(key: string, principal: Principal): Attached | undefined {
    const found = this.#attached.get(key) ?? this.#load(key);
    if (!found || found.session.state === 'closed') return undefined;
    if (!this.#manager.mayUse(principal, found.session)) return undefined;
    this.#touch(found);
    return found;
  }

  /** The client's later requests are for another session, also after a restart. */
  move(attached: Attached, id: string): void {
    const session = this.#manager.byId(id);
    if (!session) return;
    attached.session.clients.attachments.delete(attached.attachment.id);
    attached.session = session;
    attached.attachment.owner = false;
    session.clients.attachments.set(attached.attachment.id, attached.attachment);
    this.#store.attachments.setSession(attached.attachment.id, id);
  }

  /** The client leaves: that ends a session of its own making, and else the link alone. */
  async detach({ session, attachment }: Attached): Promise<void> {
    for (const one of this.#manager.loaded()) one.clients.forget(attachment);
    if (attachment.owner)
      return this.#manager.close(session, 'was stopped because the client ended the session');
    this.#forget({ session, attachment });
    this.#store.attachments.delete(attachment.id);
    this.#store.streams.delete([attachment.stream]);
    session.event('detached', { client: attachment.client.clientInfo });
  }

  #load(key: string): Attached | undefined {
    const id = hashKey(key);
    const row = this.#store.attachments.get(id);
    const session = row && this.#manager.byId(row.session);
    if (!session) return undefined;
    const client = profileIn(row.client);
    const running = this.inherited(id);
    this.#inherited.delete(id);
    return this.#remember(session, {
      id,
      key,
      owner: row.owner,
      stream: row.stream,
      client,
      usedAt: row.usedAt,
      running,
      outlet: undefined,
    });
  }

  #touch({ attachment }: Attached): void {
    const now = this.#clock.now();
    if (now - attachment.usedAt < TOUCH_EVERY) return;
    attachment.usedAt = now;
    this.#store.attachments.touch(attachment.id, now);
  }

  /** Clients that are gone leave memory, later the store: whoever comes for each call as a new one leaves many behind. */
  #sweep(retention: number): void {
    const unused = this.#clock.ago(KEPT_IN_MEMORY);
    for (const attached of this.#attached.values()) {
      const { attachment, session } = attached;
      if (attachment.outlet?.connected || session.inFlight > 0) this.#touch(attached);
      else if (attachment.usedAt < unused) this.#forget(attached);
    }
    for (const attached of this.#awaited) {
      const { attachment, session } = attached;
      const isHere = session.clients.attachments.get(attachment.id) !== attachment;
      if (!isHere && attachment.usedAt >= unused) continue;
      this.#awaited.delete(attached);
      if (!isHere) session.clients.attachments.delete(attachment.id);
    }
    this.#store.attachments.expire(this.#clock.ago(retention), EXPIRED_AT_ONCE);
  }

  #forget({ session, attachment }: Pick<Attached, 'session' | 'attachment'>): void {
    session.clients.attachments.delete(attachment.id);
    this.#attached.delete(attachment.key);
  }

  #remember(session: Session, attachment: Attachment): Attached {
    const attached: Attached = { session, attachment };
    session.clients.attachments.set(attachment.id, attachment);
    // A closed session is answered as an unknown one, and not kept for that.
    if (session.state !== 'closed') this.#attached.set(attachment.key, attached);
    return attached;
  }
}

/** A client as it was stored. */
function profileIn(text: string): ClientProfile {
  const stored = JSON.parse(text) as Omit<ClientProfile, 'era'> & Partial<ClientProfile>;
  return { era: 'legacy', ...stored };
}
