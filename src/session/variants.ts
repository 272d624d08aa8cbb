import type { LocalServerConfig, ServerConfig } from '../config/schema.js';
import type { ClientProfile } from '../protocol/client.js';

/** What the server is told of roots: those of the client, or the proxy's own, or that there are none. */
export function withRoots(client: ClientProfile, roots: ServerConfig['roots']): ClientProfile {
  if (roots === 'client') return client;
  const { roots: _, ...others } = client.capabilities;
  return { ...client, capabilities: roots === 'session' ? { ...others, roots: {} } : others };
}

/** The server as the session has it changed. */
export function withChange(
  config: ServerConfig,
  args?: string[],
  env?: Record<string, string>,
): ServerConfig {
  if (config.kind !== 'local' || (!args && !env)) return config;
  const changed: LocalServerConfig = { ...config, args: args ?? config.args, env: { ...config.env, ...env } };
  return changed;
}
