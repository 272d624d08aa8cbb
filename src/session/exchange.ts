import { ProxyError, type ErrorObject } from '../errors.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Fields, Id, Notification, Outcome } from '../protocol/messages.js';
import type { SentRequest } from '../store/types.js';

/** A request of a server that its client must answer: an input request. */
export interface Asked {
  /** The server's own id for it. */
  id?: Id;
  method: string;
  params?: Fields;
}

/** The answer of a server to the request of that id there; without its outcome where that was too large to be kept. */
export interface Arrived {
  id: Id;
  outcome?: Outcome;
}

/** A request that an earlier process sent, and the answer, if it came and was not stored. */
export interface Inherited extends SentRequest {
  answer?: Arrived | undefined;
}

/** An input request on its way. */
export interface Asking {
  answer: Promise<Outcome>;
  /** The server wants no answer any more. */
  cancel(params: Fields): void;
}

/** Towards a client, on one of its streams. The edge provides it; ids and tokens of that side are the edge's affair. */
export interface Outlet {
  readonly client: ClientProfile;
  /** Whether the client listens just now; what it misses waits for it. */
  readonly connected: boolean;
  notify(notification: Notification): void;
  /** @param onprogress gets the params of the client's progress notifications, with the server's own token */
  ask(asked: Asked, onprogress: (params: Fields) => void): Asking;
  /** The question of that id that was put to the client by an earlier process. */
  takeUp?(id: Id): Asking | undefined;
  /** How a request ends whose server needs a capability that the client has not; without it the server is told so. */
  refuse?(capability: string): ErrorObject;
}

/** Towards a client that is not to hear of a request made for it. */
export function silent(client: ClientProfile): Outlet {
  return {
    client: { ...client, capabilities: {} },
    connected: false,
    notify: () => {},
    ask: () => ({ answer: new Promise(() => {}), cancel: () => {} }),
  };
}

/**
 * One client request until its response. The edge makes it; the session carries it out; what belongs to it finds its
 * way by this object, never by an id that a client chose.
 */
export class Exchange {
  readonly method: string;
  /** As the client sent them, or as a hook left them. */
  params: Fields | undefined;
  readonly outlet: Outlet;
  /** Whose request it is: the owner of the session, or somebody it is shared with. */
  readonly principal: string;
  /** The client's later requests are for another session; the edge sees to it. */
  use: (session: string) => void = () => {};
  /** Writes what the session records of the request: to be stored with the response, before it is sent. */
  record: (() => void) | undefined;
  /** Notes where the request is before it goes there, so that another process could take its answer. */
  note:
    ((sent: Pick<SentRequest, 'server' | 'id' | 'pid' | 'asked'>) => Promise<void> | undefined) | undefined;
  /** Has the next worker know an answer that is not stored yet. */
  arrived: ((answer: Arrived) => void) | undefined;
  /** An earlier process sent it: it must not be sent again, only its answer is due. */
  sent: Inherited | undefined;
  #cancelled: Fields | undefined;
  #stop: ((params: Fields) => void) | undefined;

  constructor(method: string, params: Fields | undefined, outlet: Outlet, principal: string) {
    this.method = method;
    this.params = params;
    this.outlet = outlet;
    this.principal = principal;
  }

  /** The client wants no response any more. @param params of its `notifications/cancelled`, less the id */
  cancel(params: Fields): void {
    this.#cancelled = params;
    this.#stop?.(params);
  }

  get cancelled(): boolean {
    return this.#cancelled !== undefined;
  }

  /** `stop` is called on cancellation while the request is with a server; at once if it came before. */
  whileRunning(stop: ((params: Fields) => void) | undefined): void {
    this.#stop = stop;
    if (stop && this.#cancelled) stop(this.#cancelled);
  }
}

/** What a cancelled request ends with; the edge sends nothing for it. */
export function cancelledError(): ProxyError {
  return new ProxyError('CALL_CANCELLED', 'The client cancelled the request.');
}

/** What a request ends with whose process died, and whose answer cannot come any more. */
export function restartedError(): ProxyError {
  return new ProxyError(
    'OUTCOME_UNKNOWN',
    'The proxy was restarted while the request was under way: the outcome is unknown. Look before you repeat it.',
  );
}
