import { ProxyError } from '../errors.js';
import type { Command } from './process.js';

/** A second dollar in front leaves the placeholder as it is written. */
const PLACEHOLDER = /\$?\$\{([a-z]+\.[a-z.]+)\}/g;

/** Values of placeholders by their names, like `session.dir`. */
export type Variables = Readonly<Record<string, string>>;

/**
 * Fills `${session.…}` and the like into texts of the config.
 * @param place key of the config whose texts they are
 * @throws {ProxyError} CONFIG_INVALID naming a placeholder that does not exist
 */
export function filler(place: string, variables: Variables): (text: string) => string {
  return (text) =>
    text.replace(PLACEHOLDER, (match, name: string) => {
      if (match.startsWith('$$')) return match.slice(1);
      const value = variables[name];
      if (value !== undefined) return value;
      const known = Object.keys(variables).map((key) => `\${${key}}`);
      throw new ProxyError(
        'CONFIG_INVALID',
        `${place}: unknown placeholder \${${name}}. Known: ${known.join(', ')}.`,
      );
    });
}

/** What a process is started with, as the config has it. */
export type CommandLine = Omit<Command, 'private'>;

/** A command line, environment and folder filled in. @throws {ProxyError} CONFIG_INVALID */
export function fillTemplates(place: string, line: CommandLine, variables: Variables): CommandLine {
  const fill = filler(place, variables);
  return {
    command: fill(line.command),
    args: line.args.map(fill),
    env: Object.fromEntries(Object.entries(line.env).map(([key, value]) => [key, fill(value)])),
    cwd: fill(line.cwd),
  };
}

/** What a process writes into a session's folder may be cookies and passwords: nobody else is to read them. */
export function usesFolder({ command, args, env, cwd }: CommandLine): boolean {
  return [command, cwd, ...args, ...Object.values(env)].some((text) => text.includes('${session.dir}'));
}
