import type { ServerConfig } from '../config/schema.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Fields, Outcome } from '../protocol/messages.js';
import type { Binding } from './binding.js';
import type { Exchange } from './exchange.js';
import { StateLost, decorate, isUnsent, type Loss, type SessionMeta } from './loss.js';
import type { Router } from './router.js';
import type { Servers } from './servers.js';
import type { OwnTools } from './tools.js';

/** Pages of one server's list that are gathered, should it never end. */
const MAX_PAGES = 100;

/** Resources that a session is subscribed to; each change of them is written down with all others. */
export const MAX_SUBSCRIPTIONS = 1000;

/** Codes by which a server says that what was named is not its own. */
const NOT_MINE = new Set([-32601, -32602, -32002]);

/** What a session keeps of itself, besides its state. */
export interface Settings {
  logLevel?: unknown;
  subscriptions?: { server: string; uri: string }[];
  /** Those of the configured servers that the session has; all by default. */
  servers?: string[];
  /** What `reinitialize` changed. */
  changes?: Record<string, { args: string[] }>;
  /** Idle time after which it is paused, milliseconds, where it is not the configured one. */
  ttl?: number;
  onTimeout?: 'pause' | 'close';
  /** The deadline is not before so many milliseconds after that moment. */
  extended?: { at: number; ms: number };
}

/** The session, as far as carrying out a request needs it. */
export interface Party {
  readonly id: string;
  readonly principal: string;
  readonly settings: Settings;
  readonly servers: Servers;
  /** How many tools each server has for clients, as it last listed them. */
  readonly listed: Map<string, number>;
  /** About to use the binding: from now on the loss of this generation is one to be told. */
  meet(binding: Binding): void;
  /** Its result tells of the binding's present generation. @returns what was lost with the one before */
  see(binding: Binding): Loss | undefined;
  meta(): SessionMeta;
  remember(change: Settings): void;
}

/** Carries a request out: to the server it is for, to several, or to one after the other. */
export class Dispatcher {
  readonly #party: Party;
  readonly #router: Router;
  readonly #own: OwnTools | undefined;

  constructor(party: Party, router: Router, own: OwnTools | undefined) {
    this.#party = party;
    this.#router = router;
    this.#own = own;
  }

  /** @throws {ProxyError} what kept the request from being answered */
  async dispatch(exchange: Exchange): Promise<Outcome> {
    const [router, servers] = [this.#router, this.#party.servers.configs()];
    const { method, params } = exchange;
    if (this.#own) {
      if (method === 'tools/call' && this.#own.has(String(params?.name))) {
        return {
          result: decorate(await this.#own.call(this.#party, exchange), this.#party.meta(), undefined),
        };
      }
      const read = method === 'resources/read' ? this.#own.read(this.#party, exchange) : undefined;
      if (read) return { result: read };
    }
    const route = router.route(method, params);
    switch (route.to) {
      case 'one':
        return method === 'tools/call'
          ? this.#callTool(exchange, route.server, route.params)
          : this.#callOne(exchange, this.#party.servers.config(route.server), route.params);
      case 'each':
        return this.#list(exchange, route.needs, route.list);
      case 'all':
        return this.#tellAll(exchange, route.needs);
      case 'first': {
        let outcome: Outcome = { error: { code: -32601, message: `No server knows the method ${method}.` } };
        for (const config of servers) {
          outcome = await this.#callOne(exchange, config, params);
          if (!('error' in outcome) || !NOT_MINE.has(outcome.error.code)) break;
        }
        return outcome;
      }
    }
  }

  async #callOne(exchange: Exchange, config: ServerConfig, params: Fields | undefined): Promise<Outcome> {
    const router = this.#router;
    const { method } = exchange;
    if (method === 'resources/subscribe') this.#checkSubscriptions();
    const call = (binding: Binding) => binding.call(method, params, exchange);
    const outcome = await this.#party.servers.use(config, exchange.outlet.client, call, exchange.sent);
    if ('error' in outcome) return outcome;
    if (method === 'resources/subscribe' || method === 'resources/unsubscribe') {
      this.#subscribed(config.name, String(params?.uri), method === 'resources/subscribe');
    }
    return { result: router.expose(config.name, method, outcome.result) };
  }

  async #callTool(exchange: Exchange, server: string, params: Fields | undefined): Promise<Outcome> {
    const router = this.#router;
    const config = this.#party.servers.config(server);
    let lost: Loss | undefined;
    let used: Binding | undefined;
    const call = async (binding: Binding) => {
      used = binding;
      this.#party.meet(binding);
      const outcome = await binding.call('tools/call', params, exchange);
      if ('result' in outcome) lost = this.#party.see(binding);
      return outcome;
    };
    const once = () => this.#party.servers.use(config, exchange.outlet.client, call, exchange.sent);
    let outcome: Outcome;
    try {
      outcome = await once();
    } catch (error) {
      if (isUnsent(error)) {
        await used?.stop('had gone', true); // it is gone already, and that is about to show
        outcome = await once();
      } else if (error instanceof StateLost && error.outcome === undefined) {
        outcome = await once(); // it was not sent at all
      } else if (await this.#mayRepeat(error, config, params, exchange)) {
        log.session.info({ server }, 'The server died under a read-only call; sent again.');
        outcome = await once();
      } else if (error instanceof StateLost && error.outcome) {
        outcome = error.outcome; // says itself what happened
      } else {
        throw error;
      }
    }
    if ('error' in outcome) return outcome;
    return {
      result: decorate(router.expose(server, 'tools/call', outcome.result), this.#party.meta(), lost),
    };
  }

  /** Nothing that may have had an effect is sent twice; only a tool that says it has none. */
  async #mayRepeat(
    error: unknown,
    config: ServerConfig,
    params: Fields | undefined,
    exchange: Exchange,
  ): Promise<boolean> {
    // A server that was stopped on purpose is not wanted back for one call.
    if (!(error instanceof ProxyError) || error.code !== 'OUTCOME_UNKNOWN' || error.details.died !== true)
      return false;
    // Nor can a call be sent again that an earlier process sent: nobody kept its arguments.
    if (config.retry === 'never' || exchange.cancelled || exchange.sent) return false;
    const router = this.#router;
    const tool = String(params?.name);
    if (router.isReadOnly(config.name, tool) === undefined) {
      const ask = (binding: Binding) => this.#pages(binding, 'tools/list', 'tools');
      const asked = this.#party.servers.use(config, exchange.outlet.client, ask);
      // What became of the call matters more than why its server does not come back.
      if (!(await asked.catch(() => undefined))) return false;
    }
    return router.isReadOnly(config.name, tool) === true;
  }

  /** The servers' list, and the proxy's own after its last page. */
  async #list(exchange: Exchange, needs: string, list: string): Promise<Outcome> {
    const outcome = await this.#listOfServers(exchange, needs, list);
    const own = list === 'tools' ? this.#own?.tools : list === 'resources' ? this.#own?.resources : undefined;
    if (!own || 'error' in outcome || outcome.result.nextCursor !== undefined) return outcome;
    const items = outcome.result[list];
    return {
      result: { ...outcome.result, [list]: [...(Array.isArray(items) ? (items as unknown[]) : []), ...own] },
    };
  }

  async #listOfServers(exchange: Exchange, needs: string, list: string): Promise<Outcome> {
    const [router, servers] = [this.#router, this.#party.servers.configs()];
    const { method, params } = exchange;
    const [only] = servers;
    if (only && servers.length === 1) {
      return this.#party.servers.use(only, exchange.outlet.client, async (binding) => {
        if (!binding.offers(needs)) return { result: { [list]: [] } };
        const outcome = await binding.call(method, params, exchange);
        if ('error' in outcome) return outcome;
        return { result: this.#exposeList(only.name, method, outcome.result, params?.cursor !== undefined) };
      });
    }
    const parts = await Promise.allSettled(
      servers.map((config) =>
        this.#party.servers.use(config, exchange.outlet.client, (binding) =>
          binding.offers(needs) ? this.#pages(binding, method, list) : Promise.resolve({ [list]: [] }),
        ),
      ),
    );
    const failures = parts.flatMap((part) => (part.status === 'rejected' ? [part.reason as unknown] : []));
    if (failures.length === servers.length) throw failures[0];
    for (const failure of failures)
      log.session.warn({ session: this.#party.id }, `${method}: ${messageOf(failure)}`);
    return {
      result: router.merge(
        list,
        parts.flatMap((part) => (part.status === 'fulfilled' ? [part.value] : [])),
      ),
    };
  }

  /** All pages of one server's list as one. @throws {ProxyError} SERVER_UNAVAILABLE when the server refuses */
  async #pages(binding: Binding, method: string, list: string): Promise<Fields> {
    const server = binding.config.name;
    const pages: Fields[] = [];
    let cursor: unknown;
    do {
      const outcome = await binding.call(method, cursor === undefined ? {} : { cursor });
      if ('error' in outcome) {
        throw new ProxyError(
          'SERVER_UNAVAILABLE',
          `Server "${server}" refused ${method}: ${outcome.error.message}`,
        );
      }
      pages.push(this.#exposeList(server, method, outcome.result, cursor !== undefined));
      cursor = outcome.result.nextCursor;
    } while (cursor !== undefined && pages.length < MAX_PAGES);
    return this.#router.merge(list, pages);
  }

  /** @param further whether it is not the first page */
  #exposeList(server: string, method: string, page: Fields, further: boolean): Fields {
    const { listed } = this.#party;
    const exposed = this.#router.expose(server, method, page);
    if (method === 'tools/list' && Array.isArray(exposed.tools))
      listed.set(server, (further ? (listed.get(server) ?? 0) : 0) + exposed.tools.length);
    return exposed;
  }

  async #tellAll(exchange: Exchange, needs: string): Promise<Outcome> {
    const { method, params } = exchange;
    if (method === 'logging/setLevel') this.#party.remember({ logLevel: params?.level });
    const outcomes: Outcome[] = [];
    for (const binding of this.#party.servers.held()) {
      if (binding.live && binding.offers(needs)) outcomes.push(await binding.call(method, params, exchange));
    }
    return outcomes.find((outcome) => 'error' in outcome) ?? { result: {} };
  }

  /** @throws {ProxyError} TOO_MANY_REQUESTS */
  #checkSubscriptions(): void {
    const { subscriptions = [] } = this.#party.settings;
    if (subscriptions.length < MAX_SUBSCRIPTIONS) return;
    const text = `This session is subscribed to ${MAX_SUBSCRIPTIONS} resources already. Unsubscribe from some.`;
    throw new ProxyError('TOO_MANY_REQUESTS', text);
  }

  #subscribed(server: string, uri: string, subscribed: boolean): void {
    const { subscriptions = [] } = this.#party.settings;
    const others = subscriptions.filter((one) => one.server !== server || one.uri !== uri);
    this.#party.remember({ subscriptions: subscribed ? [...others, { server, uri }] : others });
  }
}
