import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { describe, expect, test } from 'vitest';
import { CHROMIUM, playwright, Site } from '../support/browser.js';
import { textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

async function connect(proxy: ProxyProcess, path: string): Promise<Client> {
  const client = new Client({ name: 'old', version: '1' });
  await client.connect(new SSEClientTransport(new URL(path, proxy.url)));
  return client;
}

const call = async (client: Client, name: string, args: Record<string, unknown> = {}) =>
  textOf({ result: { ...(await client.callTool({ name, arguments: args })) } });

test('each has a session of its own, and one that names a session finds it again', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  const [one, other, named] = [
    await connect(proxy, '/sse'),
    await connect(proxy, '/sse'),
    await connect(proxy, '/sse/s/mine'),
  ];
  const counts = [];
  for (const client of [one, one, other, named]) counts.push(await call(client, 'increment'));
  expect(counts).toEqual(['1', '2', '1', '1']);
  for (const client of [one, other, named]) await client.close();
  const again = await connect(proxy, '/sse/s/mine');
  expect(await call(again, 'increment')).toBe('2');
  await again.close();
});

describe.skipIf(!CHROMIUM)('with Playwright MCP and a real Chromium', { timeout: 120_000 }, () => {
  test('a client that connects anew at its address finds the page it left', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const before = await connect(proxy, '/sse/s/mine');
    await call(before, 'browser_navigate', { url: `${site.origin}/wizard/2` });
    await before.close();
    const after = await connect(proxy, '/sse/s/mine');
    expect(await call(after, 'browser_evaluate', { function: '() => location.pathname' })).toContain(
      '/wizard/2',
    );
    await after.close();
  });
});
