import { configSchema, toServerConfig, type ServerConfig } from '../../src/config/schema.js';

/** Server configs as a config file would give them; each is a local one unless it says otherwise. */
export function serverConfigs(entries: Record<string, Record<string, unknown>>): ServerConfig[] {
  const filled = Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [
      name,
      'url' in entry ? entry : { command: name, ...entry },
    ]),
  );
  const { servers = {} } = configSchema.parse({ servers: filled });
  return Object.entries(servers).map(([name, entry]) => toServerConfig(name, entry, (path) => path));
}
