import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/schema.js';
import { TemporaryFolder } from '../support/proxy.js';

function load(text: string, env: Record<string, string> = {}, name = 'mcp-proxy.yaml'): Config {
  using folder = new TemporaryFolder();
  return loadConfig(folder.file(name, text), env);
}

const one = 'servers: { one: { command: x } }\n';

/** A server of which nothing is saved or restored. */
const NO_RECOVERY = { lostWhen: [], recycle: {}, replay: { allow: [] }, roots: 'client', stop: [] };

test('a file with nothing but a command gets every default', () => {
  const { file, store, listen, sessions, servers, warnings } = load(one, { XDG_STATE_HOME: '/state' });
  expect(listen).toEqual({
    host: '127.0.0.1',
    port: 8808,
    path: '/mcp',
    allowedHosts: [],
    allowedOrigins: [],
    maxBody: 4 * 1024 * 1024,
  });
  expect(sessions).toMatchObject({
    ttl: 30 * 60_000,
    retention: 7 * 24 * 3_600_000,
    max: 1000,
    maxPerPrincipal: 100,
    unidentified: 'auto',
  });
  expect(servers).toEqual([
    {
      name: 'one',
      kind: 'local',
      era: 'auto',
      command: 'x',
      args: [],
      env: {},
      cwd: dirname(file),
      companions: {},
      scope: 'session',
      tools: { exclude: [], rename: {} },
      handles: 'off',
      timeouts: { start: 60_000, call: 180_000 },
      concurrency: Infinity,
      retry: 'readOnly',
      maxMessage: 64 * 1024 * 1024,
      ...NO_RECOVERY,
    },
  ]);
  expect(warnings).toEqual([]);
  expect(store).toMatch(/^\/state\/mcp-session-proxy\/mcp-proxy-[0-9a-f]{8}\/sessions\.db$/);
});

test('a remote server has url, headers and transport and nothing of a process', () => {
  const { servers } = load(
    'servers: { far: { url: https://x/mcp, headers: { A: b }, transport: sse, concurrency: 2 } }',
  );
  expect(servers).toEqual([
    {
      name: 'far',
      kind: 'remote',
      era: 'auto',
      url: 'https://x/mcp',
      headers: { A: 'b' },
      transport: 'sse',
      scope: 'session',
      tools: { exclude: [], rename: {} },
      handles: 'off',
      timeouts: { start: 60_000, call: 180_000 },
      concurrency: 2,
      retry: 'readOnly',
      maxMessage: 64 * 1024 * 1024,
      ...NO_RECOVERY,
    },
  ]);
});

test('a companion stands in the folder of its server unless it names one, and both start at the file', () => {
  const { file, servers } = load(
    'servers: { one: { command: x, cwd: work, companions: { a: { command: y }, b: { command: z, cwd: there } } } }',
  );
  const folder = dirname(file);
  expect(servers).toMatchObject([
    { companions: { a: { cwd: `${folder}/work`, startTimeout: 30_000 }, b: { cwd: `${folder}/there` } } },
  ]);
});

test('JSON is taken as it is, also with tabs and a byte order mark', () => {
  const text = '\uFEFF{\n\t"servers": {\n\t\t"one": { "command": "x", "args": ["a\\tb"] }\n\t}\n}';
  expect(load(text, {}, 'config.json').servers).toMatchObject([{ name: 'one', args: ['a\tb'] }]);
});

test('servers and mcpServers are one list, in the order of the file', () => {
  const { servers } = load(
    `servers: { b: { command: x }, a: { command: x } }\nmcpServers: { c: { command: x } }`,
  );
  expect(servers.map(({ name }) => name)).toEqual(['b', 'a', 'c']);
});

test('a server can be described once and used twice by a YAML anchor', () => {
  const { servers } = load('servers: { one: &same { command: x, args: [y] }, two: *same }');
  expect(servers).toMatchObject([
    { name: 'one', args: ['y'] },
    { name: 'two', args: ['y'] },
  ]);
});

test('numbers may be written as text, as they come out of variables', () => {
  const { listen, sessions } = load(`${one}listen: { port: "\${PORT}" }\nsessions: { max: "\${MAX:-7}" }`, {
    PORT: '0',
  });
  expect([listen.port, sessions.max]).toEqual([0, 7]);
});

test('store and cwd are relative to the file, and a template is left for later', () => {
  using folder = new TemporaryFolder();
  const { store, servers } = loadConfig(
    folder.file(
      'mcp-proxy.yaml',
      `store: ./data/s.db
servers:
  same: { command: x, cwd: . }
  below: { command: x, cwd: sub/folder }
  above: { command: x, cwd: .. }
  absolute: { command: x, cwd: /srv }
  session: { command: x, cwd: "\${session.dir}/profile" }`,
    ),
    {},
  );
  expect(store).toBe(join(folder.path, 'data/s.db'));
  expect(servers.map((server) => server.kind === 'local' && server.cwd)).toEqual([
    folder.path,
    join(folder.path, 'sub/folder'),
    dirname(folder.path),
    '/srv',
    '${session.dir}/profile',
  ]);
});

test('an absolute store and a store in memory stay as they are written', () => {
  expect(load(`${one}store: /srv/s.db`).store).toBe('/srv/s.db');
  expect(load(`${one}store: ":memory:"`).store).toBe(':memory:');
});

test('two files have two stores, and one file the same one always', () => {
  using folder = new TemporaryFolder();
  const [a, b] = [folder.file('a.yaml', one), folder.file('b.yaml', one)];
  const stores = [a, b, a].map((file) => loadConfig(file, { XDG_STATE_HOME: '/state' }).store);
  expect(new Set(stores).size).toBe(2);
  expect(stores[0]).toBe(stores[2]);
});

test.runIf(process.platform === 'linux')('without XDG_STATE_HOME the store is in the home folder', () => {
  expect(load(one).store).toContain(join(homedir(), '.local', 'state', 'mcp-session-proxy'));
});

test('$schema is taken and is nothing of ours', () => {
  expect(load(`$schema: ./config/mcp-proxy.schema.json\n${one}`).warnings).toEqual([]);
});
