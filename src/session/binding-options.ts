import type { Clock, Random } from '../clock.js';
import type { ServerConfig } from '../config/schema.js';
import type { Companions } from '../downstream/companions.js';
import type { ConnectContext, Connection } from '../downstream/types.js';
import type { Store } from '../store/types.js';
import type { Binding } from './binding.js';
import type { Audience } from './calls.js';
import type { Circuit } from './circuit.js';

/** What a binding is made of. */
export interface BindingOptions {
  store: Store;
  clock: Clock;
  connect: (config: ServerConfig, context: ConnectContext) => Promise<Connection>;
  /** Questions of the server that may wait for a client at a time. */
  questions: number;
  config: ServerConfig;
  /** Whose connection it is: a session's id, a principal or all, as the server's scope says. */
  owner: string;
  audience: Audience;
  /** Of all that start this server, whosever it is. */
  circuit: Circuit;
  /** For what is not to happen everywhere at the same moment. */
  random?: Random;
  /** Those of the binding whose place this one takes, or its own. */
  companions?: Companions | undefined;
  /** Bytes that a process and all it started hold, where the system tells. */
  memoryOf?: (pid: number) => number | undefined;
}

/** What a start needs from the session that asks for it. */
export interface Starter {
  context: ConnectContext;
  /** Tells a fresh server what the last one knew: log level, subscriptions. */
  prepare: (binding: Binding) => Promise<void>;
}
