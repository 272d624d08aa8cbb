import { messageOf, ProxyError } from '../errors.js';
import { log } from '../logger.js';
import type { ClientProfile } from '../protocol/client.js';
import { SUBSCRIPTION_ID } from '../protocol/envelope.js';
import {
  isFields,
  withMeta,
  type Fields,
  type Id,
  type Notification,
  type Outcome,
  type Request,
} from '../protocol/messages.js';
import { completed, type Envelope } from '../protocol/modern.js';
import { Exchange, silent } from '../session/exchange.js';
import type { Listener } from '../session/clients.js';
import { MAX_SUBSCRIPTIONS } from '../session/dispatch.js';
import type { Session } from '../session/session.js';
import type { RequestStream } from './held.js';
import { meetServers } from './introduce.js';

/** What a client may be told of: by the key in its filter, the notification and the capability behind it. */
const KINDS = [
  { key: 'toolsListChanged', method: 'notifications/tools/list_changed', capability: 'tools' },
  { key: 'promptsListChanged', method: 'notifications/prompts/list_changed', capability: 'prompts' },
  { key: 'resourcesListChanged', method: 'notifications/resources/list_changed', capability: 'resources' },
] as const;

/** How many listen for a resource in a session: the last one's end is the end of its subscription. */
const listening = new WeakMap<Session, Map<string, number>>();

/** One `subscriptions/listen`: a stream of changes that the client chose, until it leaves or the session ends. */
export class Listen implements Listener {
  readonly #id: Id;
  readonly #client: ClientProfile;
  readonly #principal: string;
  readonly #stream: RequestStream;
  readonly #wanted: Fields;
  #uris: string[];
  #methods = new Set<string>();
  #over = false;
  #end: () => void = () => {};
  readonly #ended = new Promise<void>((resolve) => (this.#end = resolve));

  /** @throws {ProxyError} INVALID_PARAMS */
  constructor({ id, params }: Request, { client }: Envelope, principal: string, stream: RequestStream) {
    this.#id = id;
    this.#client = client;
    this.#principal = principal;
    this.#stream = stream;
    const wanted = params?.notifications;
    const uris = isFields(wanted) ? (wanted.resourceSubscriptions ?? []) : undefined;
    if (!isFields(wanted) || !isTexts(uris)) {
      throw new ProxyError(
        'INVALID_PARAMS',
        'subscriptions/listen needs "notifications", an object; "resourceSubscriptions" in it is a list of URIs.',
      );
    }
    this.#wanted = wanted;
    this.#uris = [...new Set(uris)];
    if (this.#uris.length > MAX_SUBSCRIPTIONS) {
      const text = `"resourceSubscriptions" names more than ${MAX_SUBSCRIPTIONS} resources.`;
      throw new ProxyError('INVALID_PARAMS', text);
    }
  }

  /** Tells of changes until the end. 2026-07-28: the acknowledgement comes first, and names what will be told. */
  async serve(session: Session): Promise<Outcome> {
    await meetServers(session, this.#client);
    const { capabilities, serverInfo } = session.describe();
    const offers = (capability: string, feature: string) => {
      const offered = isFields(capabilities) ? capabilities[capability] : undefined;
      return isFields(offered) && offered[feature] === true;
    };
    const kinds = KINDS.filter(
      ({ key, capability }) => this.#wanted[key] === true && offers(capability, 'listChanged'),
    );
    if (!offers('resources', 'subscribe')) this.#uris = [];
    this.#methods = new Set(kinds.map(({ method }) => method));
    this.#send('notifications/subscriptions/acknowledged', {
      notifications: {
        ...Object.fromEntries(kinds.map(({ key }) => [key, true])),
        ...(this.#uris.length > 0 ? { resourceSubscriptions: this.#uris } : {}),
      },
    });
    session.clients.listeners.add(this);
    const counts = listening.get(session) ?? new Map<string, number>();
    listening.set(session, counts);
    // All at once: whoever leaves meanwhile takes back what it counted, and nothing else.
    for (const uri of this.#uris) counts.set(uri, (counts.get(uri) ?? 0) + 1);
    try {
      // Each time: an earlier try may have failed, and a second subscription changes nothing.
      for (const uri of this.#uris) if (!this.#over) await this.#request(session, 'resources/subscribe', uri);
      if (kinds.length + this.#uris.length > 0) await this.#ended;
    } finally {
      session.clients.listeners.delete(this);
      this.#release(session).catch((error: unknown) => log.upstream.warn(messageOf(error)));
    }
    const result = { _meta: { [SUBSCRIPTION_ID]: this.#id } };
    return { result: completed('subscriptions/listen', result, serverInfo) };
  }

  notify({ method, params }: Notification): void {
    const wanted =
      method === 'notifications/resources/updated'
        ? this.#uris.includes(String(params?.uri))
        : this.#methods.has(method);
    if (wanted) this.#send(method, params ?? {});
  }

  /** No more is told; what was subscribed to for this stream is given up. */
  close(): void {
    this.#over = true;
    this.#end();
  }

  #send(method: string, params: Fields): void {
    this.#stream.send({
      jsonrpc: '2.0',
      method,
      params: withMeta(params, { [SUBSCRIPTION_ID]: this.#id }),
    });
  }

  /** The client does not wait for it; a session that rests has nothing to unsubscribe from. */
  async #release(session: Session): Promise<void> {
    const counts = listening.get(session);
    for (const uri of this.#uris) {
      const left = (counts?.get(uri) ?? 1) - 1;
      if (left > 0) counts?.set(uri, left);
      else if (counts?.delete(uri) && session.state === 'active')
        await this.#request(session, 'resources/unsubscribe', uri);
    }
  }

  async #request(session: Session, method: string, uri: string): Promise<void> {
    const outcome = await session.request(
      new Exchange(method, { uri }, silent(this.#client), this.#principal),
    );
    if ('error' in outcome) log.upstream.warn({ session: session.id }, `${method}: ${outcome.error.message}`);
  }
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
