import type { Clock } from '../clock.js';
import type { RemoteServerConfig, ServerConfig } from '../config/schema.js';
import type { ProcessRegister } from './child.js';
import { HttpTransport } from './http.js';
import { connectLegacy } from './legacy.js';
import { SseTransport } from './sse.js';
import { StdioTransport } from './stdio.js';
import { fillTemplates } from './template.js';
import type { ConnectContext, Connection, Transport } from './types.js';

/** Starts or reaches a configured server and does its handshake. */
export type Connect = (config: ServerConfig, context: ConnectContext) => Promise<Connection>;

/** The real thing: child processes and HTTP. */
export function createConnect(clock: Clock, register: ProcessRegister): Connect {
  return async (config, { client, variables, signal }) => {
    const handshake = (transport: Transport) =>
      connectLegacy(config.name, transport, client, config.timeouts.start, clock, signal);
    if (config.kind === 'local') {
      const filled = fillTemplates(config, variables);
      return handshake(
        new StdioTransport({
          ...filled,
          server: config.name,
          maxMessage: config.maxMessage,
          clock,
          register,
        }),
      );
    }
    return connectRemote(config, handshake);
  };
}

/**
 * 2025-11-25, transports, backwards compatibility: clients that support older servers POST `initialize` first and turn
 * to HTTP+SSE when it is refused.
 */
async function connectRemote(
  config: RemoteServerConfig,
  handshake: (transport: Transport) => Promise<Connection>,
): Promise<Connection> {
  const options = {
    server: config.name,
    url: config.url,
    headers: config.headers,
    maxMessage: config.maxMessage,
  };
  if (config.transport === 'sse') return handshake(new SseTransport(options));
  if (config.transport === 'http') return handshake(new HttpTransport(options));
  try {
    return await handshake(new HttpTransport(options));
  } catch (refused) {
    try {
      return await handshake(new SseTransport(options));
    } catch {
      throw refused; // the first failure tells more
    }
  }
}
