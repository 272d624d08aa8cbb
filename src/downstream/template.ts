import type { LocalServerConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';

/** A second dollar in front leaves the placeholder as it is written. */
const PLACEHOLDER = /\$?\$\{([a-z]+\.[a-z.]+)\}/g;

/**
 * A local server's command line, environment and folder with `${session.…}` filled in.
 * @throws {ProxyError} CONFIG_INVALID naming a placeholder that does not exist
 */
export function fillTemplates(
  config: LocalServerConfig,
  variables: Readonly<Record<string, string>>,
): Pick<LocalServerConfig, 'command' | 'args' | 'env' | 'cwd'> {
  const fill = (text: string) =>
    text.replace(PLACEHOLDER, (match, name: string) => {
      if (match.startsWith('$$')) return match.slice(1);
      const value = variables[name];
      if (value !== undefined) return value;
      const known = Object.keys(variables).map((key) => `\${${key}}`);
      throw new ProxyError(
        'CONFIG_INVALID',
        `servers.${config.name}: unknown placeholder \${${name}}. Known: ${known.join(', ')}.`,
      );
    });
  return {
    command: fill(config.command),
    args: config.args.map(fill),
    env: Object.fromEntries(Object.entries(config.env).map(([key, value]) => [key, fill(value)])),
    cwd: fill(config.cwd),
  };
}
