import { readFileSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { mcpEndpoint } from '../../admin/api-path.js';
import { remoteDoor } from '../../admin/client.js';
import { socketOf } from '../../admin/socket-fetch.js';
import type { Door } from '../../admin/door.js';
import { loadConfig } from '../../config/load.js';
import { findConfigFile } from '../../config/places.js';
import { ProxyError, messageOf } from '../../errors.js';
import { LOG_LEVELS, type LogLevel } from '../../log-levels.js';
import { setLogLevel } from '../../logger.js';
import { addSecrets } from '../../secrets.js';
import { noAddress, reachDoor } from '../reach.js';

export interface CommonOptions {
  config?: string;
  json?: boolean;
  url?: string;
  token?: string;
  logLevel: LogLevel;
}

/** One subcommand: what it does at a door, and how it tells people. */
export interface Verb<Value, Options> {
  /** With its arguments, as commander reads them: `extend <session> <duration>`. */
  usage: string;
  /** How the arguments are shown where `usage` does not say it all. */
  synopsis?: string;
  summary: string;
  options?: Option[];
  /** Whether only a proxy that runs will do. */
  running?: (options: Options) => boolean;
  run: (door: Door, options: Options & CommonOptions, ...args: string[]) => Promise<Value | typeof PRINTED>;
  /** What people read instead of JSON; nothing is printed for nothing. */
  text: (value: Value, options: Options & CommonOptions, ...args: string[]) => string;
  /** What of the value programs get; all by default. */
  json?: (value: Value) => unknown;
}

/** Stands for a value that was printed as it came. */
export const PRINTED = Symbol('printed');

/** Adds subcommands to a command. */
export type Group = (parent: Command) => void;

export function group(...members: Group[]): Group {
  return (parent) => members.forEach((member) => member(parent));
}

export function verb<Value, Options = object>({
  usage,
  synopsis,
  summary,
  options = [],
  running = () => false,
  run,
  text,
  json = (value) => value,
}: Verb<Value, Options>): Group {
  return (parent) => {
    const command = parent.command(usage).description(summary);
    for (const option of [...options, ...commonOptions()]) command.addOption(option);
    if (synopsis !== undefined) command.usage(`[options] ${synopsis}`);
    command.action(async () => {
      const chosen = command.opts<Options & CommonOptions>();
      const value = await atDoor(chosen, running(chosen), (door) => run(door, chosen, ...command.args));
      if (value === PRINTED) return;
      const output = chosen.json ? toJson(json(value)) : text(value, chosen, ...command.args);
      if (output !== '') print(output);
    });
  };
}

/** The option may be given several times; its values are a list. */
export function repeatable(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser<string[]>((value, before) => [
    ...(before ?? []),
    value,
  ]);
}

/** A line of output; a reader that has seen enough, as `head`, ends the program without a word. */
export function print(line: string): void {
  if (process.stdout.listenerCount('error') === 0) process.stdout.once('error', () => process.exit());
  console.log(line);
}

/** Values without one are null, as in JSON itself. */
export function toJson(value: unknown): string {
  return JSON.stringify(value ?? null, null, 2);
}

/** A value as people write it: JSON where it is, else the text itself. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** `-` stands for what comes on standard input, which no list of processes shows. */
export function given(text: string): string {
  return text === '-' ? readFileSync(0, 'utf8') : text;
}

/** @throws {ProxyError} INVALID_PARAMS */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new ProxyError('INVALID_PARAMS', `${what} must be JSON: ${messageOf(error)}.`, { cause: error });
  }
}

/** `NAME=VALUE` in two. @throws {ProxyError} INVALID_PARAMS */
export function parsePair(pair: string, option: string): [name: string, value: string] {
  const at = pair.indexOf('=');
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw new ProxyError('INVALID_PARAMS', `${option} takes NAME=VALUE, not "${pair}".`);
}

async function atDoor<Value>(
  { config, url, token, logLevel }: CommonOptions,
  running: boolean,
  job: (door: Door) => Promise<Value>,
): Promise<Value> {
  setLogLevel(logLevel);
  // A variable that is set to nothing is as good as none.
  const credentials = token ? { token } : {};
  if (token) addSecrets([token]);
  try {
    await using door =
      url === undefined
        ? await reachDoor(loadConfig(config ?? findConfigFile()), { ...credentials, running })
        : remoteDoor(checkUrl(url), credentials);
    return await job(door);
  } catch (error) {
    if (error instanceof ProxyError && error.code === 'UNAUTHORIZED' && !token) {
      throw new ProxyError(
        'UNAUTHORIZED',
        'The proxy wants a token: set the variable MCP_SESSION_PROXY_TOKEN.',
        {
          cause: error,
        },
      );
    }
    throw error;
  }
}

/** The MCP endpoint of the proxy at a URL, or the endpoint itself. @throws {ProxyError} CONFIG_INVALID, SERVER_UNAVAILABLE */
export function endpointAt(url: string): string {
  if (socketOf(url) !== undefined) throw noAddress();
  return mcpEndpoint(checkUrl(url));
}

/** The door takes the URL of the proxy and the one that `serve` prints. @throws {ProxyError} CONFIG_INVALID */
function checkUrl(url: string): string {
  if (socketOf(url) !== undefined || (URL.canParse(url) && /^https?:/.test(url))) return url;
  throw new ProxyError(
    'CONFIG_INVALID',
    `--url ${url}: expected the URL of a proxy, like http://127.0.0.1:8808.`,
  );
}

function commonOptions(): Option[] {
  return [
    new Option('--json', 'print JSON'),
    new Option('-c, --config <file>', 'config file, as of serve; its store tells which proxy runs'),
    new Option(
      '--url <url>',
      'the proxy to talk to, instead of the one that runs on the store of the config',
    ),
    new Option(
      '--token <token>',
      'token of the proxy; better in the variable, since others see arguments in the list of processes',
    ).env('MCP_SESSION_PROXY_TOKEN'),
    new Option('--log-level <level>', 'what to log on stderr').choices(LOG_LEVELS).default('error'),
  ];
}
