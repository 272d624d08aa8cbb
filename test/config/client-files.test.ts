import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { TemporaryFolder } from '../support/proxy.js';

/** A config file of an MCP client, as that client wrote it. */
function load(content: Record<string, unknown>) {
  using folder = new TemporaryFolder();
  return loadConfig(folder.file('claude_desktop_config.json', JSON.stringify(content, null, 2)), {});
}

test('a claude_desktop_config.json works as it is, and what is passed over is said', () => {
  const { servers, warnings } = load({
    globalShortcut: 'Ctrl+Space',
    preferences: { theme: 'dark' },
    mcpServers: {
      files: { command: 'npx', args: ['-y', 'server-files', '/home'], env: { LEVEL: 'debug' } },
      asleep: { command: 'npx', disabled: true },
      awake: { command: 'npx', disabled: false },
    },
  });
  expect(servers.map(({ name }) => name)).toEqual(['files', 'awake']);
  expect(servers[0]).toMatchObject({ args: ['-y', 'server-files', '/home'], env: { LEVEL: 'debug' } });
  expect(warnings).toEqual([
    'globalShortcut: not a key of mcp-session-proxy, passed over.',
    'preferences: not a key of mcp-session-proxy, passed over.',
    'mcpServers.asleep: is disabled, passed over.',
  ]);
});

test('the type that clients write picks the transport of a remote server', () => {
  const { servers } = load({
    mcpServers: {
      http: { type: 'http', url: 'https://x/mcp' },
      streamable: { type: 'streamable-http', url: 'https://x/mcp' },
      sse: { type: 'sse', url: 'https://x/sse' },
      none: { url: 'https://x/mcp' },
      ours: { type: 'sse', transport: 'http', url: 'https://x/mcp' },
    },
  });
  expect(servers.map((server) => server.kind === 'remote' && server.transport)).toEqual([
    'http',
    'http',
    'sse',
    'auto',
    'http',
  ]);
});

test('the type stdio says what the command says already', () => {
  expect(load({ mcpServers: { one: { type: 'stdio', command: 'x' } } }).servers).toMatchObject([
    { kind: 'local', command: 'x' },
  ]);
});

test('a file whose servers are all disabled has no server', () => {
  expect(() => load({ mcpServers: { one: { command: 'x', disabled: true } } })).toThrow(
    /: servers: no server is configured\. Add one under "servers"\.$/,
  );
});

test('an unknown key of a server is refused also in a client’s file', () => {
  expect(() => load({ mcpServers: { one: { command: 'x', comand: 'y' } } })).toThrow(
    /: mcpServers\.one\.comand: unknown key\. Did you mean "command"\?$/,
  );
});

test('in a file without mcpServers an unknown key at the top is a mistake', () => {
  expect(() => load({ servers: { one: { command: 'x' } }, globalShortcut: 'x' })).toThrow(
    /: globalShortcut: unknown key\. Known here: listen, .*servers, mcpServers.*\.$/,
  );
});
