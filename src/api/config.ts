import { resolve } from 'node:path';
import { z } from 'zod';
import { hintsOf } from '../config/clients.js';
import { configSchema, toServerConfig, type Config } from '../config/schema.js';
import { fillVariables } from '../config/variables.js';
import { ProxyError } from '../errors.js';
import { addSecrets } from '../secrets.js';

/** The keys of a config file, in a program. Durations and sizes are text, as there: `30m`, `4MiB`. */
export type ConfigInput = z.input<typeof configSchema>;

/**
 * A config that stands in a program instead of a file: paths start at the working directory, variables are the program's
 * to fill in, and without `store` its sessions are forgotten at the end.
 * @throws {ProxyError} CONFIG_INVALID naming the key
 */
export function toConfig(input: ConfigInput): Config {
  const parsed = configSchema.safeParse(input);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error));
  const { secrets, missing } = fillVariables(input, {});
  const [variable] = missing;
  if (variable) {
    throw invalid(
      `${variable.path.join('.')}: \${${variable.name}} is filled in in files alone. Put the value there.`,
    );
  }
  addSecrets(secrets);
  const { servers = {}, mcpServers = {}, listen, auth, store, sessions, daemon, clients } = parsed.data;
  const entries = Object.entries({ ...servers, ...mcpServers });
  if (entries.length === 0) throw invalid('servers: no server is configured. Add one.');
  return {
    file: 'the config of the program',
    listen,
    auth,
    sessions,
    daemon,
    hints: hintsOf(clients),
    warnings: [],
    store: store === undefined || store === ':memory:' ? ':memory:' : resolve(store),
    servers: entries.map(([name, entry]) => toServerConfig(name, entry, (path) => resolve(path))),
  };
}

function invalid(problem: string): ProxyError {
  return new ProxyError('CONFIG_INVALID', `The config cannot be used: ${problem}`);
}
