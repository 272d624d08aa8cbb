import { asProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Fields, Outcome } from '../protocol/messages.js';
import type { Exchange } from './exchange.js';
import { MAIN_TRACK } from './history.js';
import type { SessionMeta } from './loss.js';
import type { SessionView } from './view.js';

/**
 * What a program lays around something the proxy does. `next` does it, and what it returns is the result; given another
 * value, it does it with that one. Not to call it, or to throw, is to forbid it.
 */
export type Layer<Value, Result> = (value: Value, next: (changed?: Value) => Result) => Result;

/** A client's request in a session. A hook may change its `params` alone. */
export interface HookedRequest {
  readonly session: SessionMeta;
  /** Whose request it is. */
  readonly principal: string;
  readonly method: string;
  readonly params: Fields | undefined;
}

/** An event before it is numbered and recorded. A hook may change its `data` alone. */
export interface HookedEvent {
  /** The session's id. */
  readonly session: string;
  readonly track: string;
  readonly type: string;
  readonly data: Fields;
}

/** What a program has a say in. Of several hooks the first is the outermost. */
export interface Hook {
  /**
   * Around each request of a client, a model or a program in a session; `tools/call` is one of them. A `ProxyError` that
   * it throws is what the caller gets.
   */
  call?: Layer<HookedRequest, Promise<Outcome>>;
  /**
   * Around the recording of an event, which is at once: no promise is waited for. A throw leaves the event out; whoever
   * adds an event to a track of their own gets it.
   */
  appendEvent?: Layer<HookedEvent, void>;
  /** Around what is shown of one session to whoever asks for it. */
  getSession?: Layer<SessionView, SessionView>;
}

/** The hooks of a program, by what they are laid around. Where there are none, nothing is in between. */
export class Hooks {
  readonly #calls: readonly Layer<HookedRequest, Promise<Outcome>>[];
  readonly #events: readonly Layer<HookedEvent, void>[];
  readonly #views: readonly Layer<SessionView, SessionView>[];

  constructor(hooks: readonly Hook[] = []) {
    this.#calls = hooks.flatMap((hook) => hook.call?.bind(hook) ?? []);
    this.#events = hooks.flatMap((hook) => hook.appendEvent?.bind(hook) ?? []);
    this.#views = hooks.flatMap((hook) => hook.getSession?.bind(hook) ?? []);
  }

  /** Carries out a request. @throws {ProxyError} and whatever a hook throws */
  request(
    exchange: Exchange,
    session: SessionMeta,
    dispatch: (exchange: Exchange) => Promise<Outcome>,
  ): Promise<Outcome> {
    if (this.#calls.length === 0) return dispatch(exchange);
    const { method, params, principal } = exchange;
    return within(this.#calls, { session, principal, method, params }, (request) => {
      exchange.params = request.params;
      return dispatch(exchange);
    });
  }

  /** @returns what is to be recorded; undefined for nothing @throws {ProxyError} of a hook, but for the proxy's own events */
  event(event: HookedEvent): Fields | undefined {
    if (this.#events.length === 0) return event.data;
    let kept: Fields | undefined;
    try {
      within(this.#events, event, ({ data }) => void (kept = data));
    } catch (error) {
      if (event.track !== MAIN_TRACK) throw asProxyError(error);
      // What happened has happened: a session does not stop for a hook that will not have it recorded.
      log.session.warn(
        { session: event.session, type: event.type },
        `A hook refused it: ${messageOf(error)}`,
      );
      return undefined;
    }
    return kept;
  }

  /** What is shown of a session. */
  view(view: SessionView): SessionView {
    return within(this.#views, view, (shown) => shown);
  }
}

function within<Value, Result>(
  layers: readonly Layer<Value, Result>[],
  value: Value,
  last: (value: Value) => Result,
): Result {
  const [layer, ...inner] = layers;
  return layer ? layer(value, (changed = value) => within(inner, changed, last)) : last(value);
}
