import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { findConfigFile } from '../../src/config/places.js';
import { ProxyError } from '../../src/errors.js';
import { TemporaryFolder } from '../support/proxy.js';

/** The one message with which a config is refused, with FILE for its path. */
function refusal(text: string, env: Record<string, string> = {}): string {
  using folder = new TemporaryFolder();
  const file = folder.file('mcp-proxy.yaml', text);
  return messageOf(() => loadConfig(file, env)).replaceAll(file, 'FILE');
}

function messageOf(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    expect(error.code).toBe('CONFIG_INVALID');
    return error.message;
  }
  throw new Error('the config was taken');
}

/** A config whose one server is `entry`. */
function server(entry: string): string {
  return `servers: { one: { ${entry} } }`;
}

const ok = 'servers: { one: { command: x } }\n';

test.each<[string, string, string]>([
  [
    'a misspelt key of a server',
    server('command: x, comand: y'),
    'servers.one.comand: unknown key. Did you mean "command"?',
  ],
  ['a misspelt key at the top', `${ok}sesions: {}`, 'sesions: unknown key. Did you mean "sessions"?'],
  [
    'a misspelt key deep down',
    server('command: x, timeouts: { cal: 3s }'),
    'servers.one.timeouts.cal: unknown key. Did you mean "call"?',
  ],
  [
    'a key like no other',
    server('command: x, timeouts: { colour: red }'),
    'servers.one.timeouts.colour: unknown key. Known here: start, call.',
  ],
  [
    'a number as command',
    server('command: 5'),
    'servers.one.command: expected string, received number. It is 5.',
  ],
  [
    'text as args',
    server('command: x, args: foo'),
    'servers.one.args: expected array, received string. It is "foo".',
  ],
  [
    'a number among args',
    server('command: x, args: [a, 1]'),
    'servers.one.args.1: expected string, received number. It is 1.',
  ],
  [
    'a number in env',
    server('command: x, env: { PORT: 8080 }'),
    'servers.one.env.PORT: expected string, received number.',
  ],
  [
    'a server that is no mapping',
    'servers: { one: 5 }',
    'servers.one: expected object, received number. It is 5.',
  ],
  [
    'a duration without unit',
    `${ok}sessions: { ttl: 30 }`,
    'sessions.ttl: must be text like 30s, 30m, 12h or 7d. It is 30.',
  ],
  [
    'a duration in words',
    `${ok}sessions: { ttl: 30 minutes }`,
    'sessions.ttl: must be a number and a unit, like 30s, 30m, 12h or 7d. It is "30 minutes".',
  ],
  [
    'a negative duration',
    `${ok}sessions: { ttl: -1s }`,
    'sessions.ttl: must be a number and a unit, like 30s, 30m, 12h or 7d. It is "-1s".',
  ],
  [
    'a size in megabytes',
    `${ok}listen: { maxBody: 4MB }`,
    'listen.maxBody: must be a number and a unit, like 64KiB or 4MiB. It is "4MB".',
  ],
  [
    'a port in words',
    `${ok}listen: { port: http }`,
    'listen.port: must be a whole number, from 0 to 65535. It is "http".',
  ],
  [
    'a path without slash',
    `${ok}listen: { path: mcp }`,
    'listen.path: must start with a slash. It is "mcp".',
  ],
  [
    'a URL that is none',
    server('url: ftp://x'),
    'servers.one.url: must be an http or https URL. It is "ftp://x".',
  ],
  [
    'neither command nor url',
    server(''),
    'servers.one.command: is missing: give "command" (a local server) or "url" (a remote one).',
  ],
  [
    'both command and url',
    server('command: x, url: http://x'),
    'servers.one.url: cannot stand beside "command": a server is either local or remote. It is "http://x".',
  ],
  [
    'args of a remote server',
    server('url: http://x, args: [a]'),
    'servers.one.args: is for local servers; a remote one takes "headers".',
  ],
  [
    'env of a remote server',
    server('url: http://x, env: { A: b }'),
    'servers.one.env: is for local servers; a remote one takes "headers".',
  ],
  [
    'cwd of a remote server',
    server('url: http://x, cwd: y'),
    'servers.one.cwd: is for local servers. It is "y".',
  ],
  [
    'headers of a local server',
    server('command: x, headers: { A: b }'),
    'servers.one.headers: is for remote servers; a local one takes "env".',
  ],
  [
    'a server name with a space',
    'servers: { a b: { command: x } }',
    'servers.a b: the name must be 1 to 64 letters, digits, - or _, beginning with a letter or digit.',
  ],
  [
    'a name in both places',
    `${ok}mcpServers: { one: { command: y } }`,
    'mcpServers.one: stands in "servers" as well. Rename or remove one of the two.',
  ],
  [
    'a name twice in YAML',
    'servers:\n  one: { command: x }\n  one: { command: y }',
    'line 3, column 3: Map keys must be unique.',
  ],
  [
    'a name twice in JSON',
    '{"servers": {\n"one": {"command": "x"},\n"one": {"command": "y"}}}',
    'line 3, column 1: Map keys must be unique.',
  ],
  ['no servers', 'servers: {}', 'servers: no server is configured. Add one under "servers".'],
  ['an empty mapping', '{}', 'servers: no server is configured. Add one under "servers".'],
  ['an empty file', '', 'the file must hold a mapping with the key "servers" or "mcpServers".'],
  ['a list', '- one', 'the file must hold a mapping with the key "servers" or "mcpServers".'],
  ['a tab in YAML', 'servers:\n\tone: {}', 'line 2, column 1: Tabs are not allowed as indentation.'],
  [
    'an open bracket',
    'servers:\n  one: [\n',
    'line 3, column 1: Flow sequence in block collection must be sufficiently indented and end with a ].',
  ],
  [
    'a variable that is not set',
    server('command: "${NOWHERE}"'),
    'servers.one.command: the variable NOWHERE is not set. Set it, or write ${NOWHERE:-default}.',
  ],
])('%s gets one message with file, place and mend', (_, text, problem) => {
  expect(refusal(text)).toBe(`The config file FILE cannot be used: ${problem}`);
});

test('several mistakes are told at once, one a line', () => {
  expect(refusal(server('command: x, comand: y, args: foo') + '\nsessions: { ttl: 30 }')).toBe(
    'The config file FILE cannot be used:\n' +
      '  - sessions.ttl: must be text like 30s, 30m, 12h or 7d. It is 30.\n' +
      '  - servers.one.args: expected array, received string. It is "foo".\n' +
      '  - servers.one.comand: unknown key. Did you mean "command"?',
  );
});

test('all variables that are missing are told at once, each with its place', () => {
  const text = server('command: "${ONE_GONE}", args: [a, "${OTHER_GONE}"]');
  expect(refusal(text)).toBe(
    'The config file FILE cannot be used:\n' +
      '  - servers.one.command: the variable ONE_GONE is not set. Set it, or write ${ONE_GONE:-default}.\n' +
      '  - servers.one.args.1: the variable OTHER_GONE is not set. Set it, or write ${OTHER_GONE:-default}.',
  );
});

test('what came out of a variable is shown as it came', () => {
  expect(refusal(`${ok}sessions: { ttl: "\${IDLE}" }`, { IDLE: 'forever' })).toBe(
    'The config file FILE cannot be used: ' +
      'sessions.ttl: must be a number and a unit, like 30s, 30m, 12h or 7d. It is "forever".',
  );
});

test('a file that is not there is named with the reason', () => {
  expect(messageOf(() => loadConfig('/nowhere/mcp-proxy.yaml', {}))).toBe(
    'Cannot read the config file /nowhere/mcp-proxy.yaml: ' +
      "ENOENT: no such file or directory, open '/nowhere/mcp-proxy.yaml'.",
  );
});

test('a folder in place of the file is named with the reason', () => {
  using folder = new TemporaryFolder();
  expect(messageOf(() => loadConfig(folder.path, {}))).toBe(
    `Cannot read the config file ${folder.path}: EISDIR: illegal operation on a directory, read.`,
  );
});

test('without any file the message names both places that were looked at', () => {
  using folder = new TemporaryFolder();
  const env = { XDG_CONFIG_HOME: join(folder.path, 'home') };
  const [here, home] = [
    join(folder.path, 'mcp-proxy.yaml'),
    join(folder.path, 'home', 'mcp-session-proxy', 'mcp-proxy.yaml'),
  ];
  expect(messageOf(() => findConfigFile(env, folder.path))).toBe(
    `No config file: neither ${here} nor ${home} exists. Name one with --config FILE.`,
  );
});

test('the file in the working folder is found before that in the config folder', () => {
  using folder = new TemporaryFolder();
  const env = { XDG_CONFIG_HOME: join(folder.path, 'home') };
  mkdirSync(join(folder.path, 'home', 'mcp-session-proxy'), { recursive: true });
  const home = folder.file('home/mcp-session-proxy/mcp-proxy.yaml', ok);
  expect(findConfigFile(env, folder.path)).toBe(home);
  const here = folder.file('mcp-proxy.yaml', ok);
  expect(findConfigFile(env, folder.path)).toBe(here);
});
