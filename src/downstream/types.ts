import type { ProxyError } from '../errors.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Era } from '../protocol/eras.js';
import type { Fields, Id, Message } from '../protocol/messages.js';
import type { ServerProcess } from './process.js';
import type { RemoteSession } from './remote-session.js';

/** Carries messages to and from one server. A driver knows processes or sockets, not sessions. */
export interface Transport {
  /** Called for each message; `cause` is the request on whose stream it came, where the wire tells. */
  onmessage: (message: Message, cause?: Id) => void;
  /**
   * Called for a request whose answer came but cannot be used, or will not come any more; without an id for an answer
   * that does not tell whose it is.
   */
  onfailed: (id: Id | undefined, error: ProxyError) => void;
  /** Called once, when no message will come any more; `reason` completes "the server …". */
  onclose: (reason: string) => void;
  /** @throws {ProxyError} SERVER_UNAVAILABLE */
  start(): Promise<void>;
  /**
   * Resolves when the message is on its way.
   * @throws {ProxyError} SERVER_BUSY or SERVER_UNAVAILABLE when it was not sent, OUTCOME_UNKNOWN when it may have been
   */
  send(message: Message): Promise<void>;
  /** Called when `initialize` has settled the revision; resolves when server messages can be received. */
  initialized(protocolVersion: string): Promise<void>;
  /** What else is known of a server that fails, for error messages: exit code, last lines of stderr. */
  diagnosis(): string;
  /**
   * Ends the server's process or remote session and resolves when it is gone. Idempotent.
   * @param force at once instead of in order
   */
  close(force?: boolean): Promise<void>;
  /** What another process is to know of the server, should this one die; nothing where it could not take it over. */
  label(text: string): void;
  /** Of a local server that runs. */
  readonly pid: number | undefined;
  /** After the handshake: the server keeps no session, so that a new connection is as good as the last one. */
  readonly sessionless?: boolean;
}

/** What a server said of itself in its answer to `initialize`. */
export type Description = Fields;

/** A server after its handshake. */
export interface Connection {
  readonly description: Description;
  /** Hands over what came since the handshake and all that comes. */
  listen(events: Pick<Transport, 'onmessage' | 'onfailed' | 'onclose'>): void;
  /**
   * As `Transport.send`.
   * @param client whose request it is; a server without sessions is told so with each of them
   */
  send(message: Message, client?: ClientProfile): Promise<void>;
  diagnosis: Transport['diagnosis'];
  close: Transport['close'];
  label: Transport['label'];
  readonly pid: number | undefined;
  readonly sessionless?: boolean;
}

/** A server that outlived the worker that spoke to it. */
export type Held =
  | {
      process: ServerProcess;
      /** Requests that may not have been written to it whole, where something was not. */
      unsent?: readonly Id[] | undefined;
    }
  | { remote: RemoteSession };

/** A request that an earlier process sent. */
export interface Expected {
  id: number;
  /** Its answer, where that process got it. */
  answer?: unknown;
}

/** What a server is started with. */
export interface ConnectContext {
  /** Values of `${session.dir}`, `${session.id}` and `${session.name}`, by those names. */
  variables: Readonly<Record<string, string>>;
  client: ClientProfile;
  /** The era of the server when it was last started. */
  known?: Era | undefined;
  /** The server is not wanted any more, also while it starts. */
  signal?: AbortSignal;
  /** It runs already, and an earlier process did the handshake. */
  held?: Held & { description: Description; expected: readonly Expected[] };
}
