import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import type { LocalServerConfig, ServerConfig } from '../../src/config/schema.js';
import { TemporaryFolder } from '../support/proxy.js';

function load(entry: Record<string, unknown>): ServerConfig {
  using folder = new TemporaryFolder();
  const file = folder.file('mcp-proxy.yaml', JSON.stringify({ servers: { one: entry } }));
  const [server] = loadConfig(file, {}).servers;
  if (!server) throw new Error('no server');
  return server;
}

const argsOf = (entry: Record<string, unknown>) => (load(entry) as LocalServerConfig).args;

test.each([
  ['npx', ['-y', '@playwright/mcp@0.0.83'], 'playwright'],
  ['npx', ['@playwright/mcp'], 'playwright'],
  ['node', ['/opt/node_modules/@playwright/mcp/cli.js', '--headless'], 'playwright'],
  ['/usr/local/bin/playwright-mcp', [], 'playwright'],
  ['npx', ['-y', 'chrome-devtools-mcp@latest'], 'chrome-devtools'],
  ['node', ['node_modules/chrome-devtools-mcp/build/src/bin/chrome-devtools-mcp.js'], 'chrome-devtools'],
  ['npx', ['-y', '@playwright/mcp-extras'], undefined],
  ['python', ['-m', 'playwright_mcp'], undefined],
])('%s %j is known as %s', (command, args, preset) => {
  expect(load({ command, args }).preset).toBe(preset);
});

test('a preset adds the options it needs, once, and leaves those that are given', () => {
  const command = 'npx';
  expect(argsOf({ command, args: ['@playwright/mcp', '--headless'] })).toEqual([
    '@playwright/mcp',
    '--headless',
    '--isolated',
    '--caps=storage',
    '--idle-timeout=0',
  ]);
  expect(
    argsOf({
      command,
      args: ['@playwright/mcp', '--isolated', '--caps', 'vision,pdf', '--idle-timeout=5000'],
    }),
  ).toEqual(['@playwright/mcp', '--isolated', '--idle-timeout=5000', '--caps=vision,pdf,storage']);
  expect(argsOf({ command, args: ['@playwright/mcp', '--user-data-dir=/p', '--caps=storage'] })).toEqual([
    '@playwright/mcp',
    '--user-data-dir=/p',
    '--caps=storage',
    '--idle-timeout=0',
  ]);
});

test('a page that speaks of a target page is no lost browser', () => {
  const [pattern = '', ...others] = load({ command: 'npx', args: ['@playwright/mcp'] }).lostWhen;
  expect(others).toEqual([]);
  expect('Error: browserBackend.callTool: Target page, context or browser has been closed').toMatch(pattern);
  expect('# Target page').not.toMatch(new RegExp(pattern));
});

test('tools that come with an option of the preset alone are hidden', () => {
  const hidden = load({ command: 'npx', args: ['@playwright/mcp'], tools: { exclude: ['browser_install'] } });
  expect(hidden.tools.exclude).toEqual(expect.arrayContaining(['browser_install', 'browser_storage_state']));
  expect(load({ command: 'npx', args: ['@playwright/mcp', '--caps=storage'] }).tools.exclude).toEqual([]);
});

test('what the config says itself stands above the preset, key by key', () => {
  const server = load({
    command: 'npx',
    args: ['@playwright/mcp'],
    cwd: '/work',
    concurrency: 3,
    checkpoint: { every: '10s' },
    lostWhen: [],
  });
  expect(server).toMatchObject({ cwd: '/work', concurrency: 3, lostWhen: [], roots: 'session' });
  expect(server.checkpoint?.every).toBe(10_000);
  expect(server.checkpoint?.calls.map(({ tool }) => tool)).toEqual(['browser_storage_state', 'browser_tabs']);
});

test('none switches it off, a name chooses one, and an unknown name is told with those there are', () => {
  expect(load({ command: 'npx', args: ['@playwright/mcp'], preset: 'none' })).toMatchObject({
    args: ['@playwright/mcp'],
    preset: 'none',
    stop: [],
  });
  expect(load({ command: 'my-wrapper', preset: 'playwright' }).checkpoint).toBeDefined();
  expect(() => load({ command: 'x', preset: 'selenium' })).toThrow(
    'servers.one.preset: there is no preset "selenium". Use playwright, chrome-devtools or none.',
  );
});

test.each([
  [{ checkpoint: { calls: [{ tool: 'x' }] }, scope: 'call' }, /checkpoint: has no sense in scope "call"/],
  [{ stop: [{ stdin: 'close' }, { tool: 'x' }] }, /stop: must call tools first/],
  [{ stop: [{ wait: '1s' }] }, /stop\.0: must have exactly one of "tool", "stdin" and "signal"/],
  [{ lostWhen: ['('] }, /lostWhen\.0: must be a regular expression/],
  [
    { checkpoint: { calls: [{ tool: 'x', capture: { a: { regex: 'a', path: 'a' } } }] } },
    /capture\.a: must have either "regex" or "path"/,
  ],
  [
    { companions: { 'a-b': { command: 'x' } } },
    /companions\.a-b: the name must be 1 to 32 letters from a to z/,
  ],
  [
    { companions: { a: { command: 'x', ready: { tcp: 1, line: 'x' } } } },
    /companions\.a\.ready: must have exactly one of "http", "tcp" and "line"/,
  ],
  [
    { companions: { a: { command: 'x', stop: [{ tool: 'close' }] } } },
    /companions\.a\.stop\.0: .*must have either "stdin" or "signal"|companions\.a\.stop\.0\.tool: unknown key/s,
  ],
  [{ companions: { a: { command: 'x' } }, scope: 'call' }, /companions: have no sense in scope "call"/],
  [
    { companions: { a: { command: 'x' } }, command: undefined, url: 'http://x/' },
    /companions: are for local/,
  ],
])('a mistake in %j is told with its place', (entry, message) => {
  expect(() => load({ command: 'x', ...entry })).toThrow(message);
});
