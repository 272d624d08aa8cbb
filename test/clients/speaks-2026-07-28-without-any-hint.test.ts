import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';
import { CHROMIUM, playwright, Site } from '../support/browser.js';
import { RawClient, textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/** The official client, pinned to the revision without sessions: it names neither a session nor a conversation. */
async function connect(url: string): Promise<Client> {
  const client = new Client(
    { name: 'pinned', version: '1' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } } },
  );
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  return client;
}

const call = async (client: Client, name: string, args: Record<string, unknown> = {}) =>
  textOf({ result: { ...(await client.callTool({ name, arguments: args })) } });

test('its calls meet in one session, also after it was started anew', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  const client = await connect(proxy.url);
  expect(await call(client, 'increment')).toBe('1');
  expect(await call(client, 'increment')).toBe('2');
  await client.close();
  const later = await connect(proxy.url);
  expect(await call(later, 'increment')).toBe('3');
  await later.close();
});

test('P4 its list of tools is the same for every client of a config and principal', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  const [one, other] = [await connect(proxy.url), await connect(`${proxy.url}/s/other`)];
  expect((await one.listTools()).tools).toEqual((await other.listTools()).tools);
  await one.close();
  await other.close();
});

describe.skipIf(!CHROMIUM)('with Playwright MCP and a real Chromium', { timeout: 120_000 }, () => {
  const where = (client: Client) =>
    call(client, 'browser_evaluate', { function: '() => location.pathname + " " + document.body.innerText' });

  test('scenario 16: a client pinned to 2026-07-28 drives a legacy browser server, and two addresses two browsers', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const [alice, bob] = [await connect(`${proxy.url}/s/alice`), await connect(`${proxy.url}/s/bob`)];
    const go = (client: Client, path: string) =>
      call(client, 'browser_navigate', { url: `${site.origin}${path}` });
    await go(alice, '/?login=alice');
    await Promise.all([go(alice, '/wizard/2'), go(bob, '/wizard/3')]);
    expect(await where(alice)).toMatch(/\/wizard\/2.*signed in as alice/s);
    expect(await where(bob)).toMatch(/\/wizard\/3.*signed in as nobody/s);
    // A client of another era at the same address is at the same page.
    const legacy = await RawClient.open(`${proxy.url}/s/alice`);
    const seen = await legacy.text('browser_evaluate', { function: '() => document.body.innerText' });
    expect(seen).toContain('signed in as alice');
    await alice.close();
    await bob.close();
  });

  test('with handles one such client drives two browsers at once', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    const browser = playwright(folder, ['--isolated'], { handles: 'required' });
    await using proxy = await ProxyProcess.start(folder, { servers: { browser } });
    const client = await connect(proxy.url);
    for (const name of ['one', 'two']) await call(client, 'session_create', { name });
    const go = (session: string) =>
      call(client, 'browser_navigate', { session, url: `${site.origin}/?login=${session}` });
    await Promise.all([go('one'), go('two')]);
    const read = (session: string) =>
      call(client, 'browser_evaluate', { session, function: '() => document.body.innerText' });
    const [one, two] = await Promise.all([read('one'), read('two')]);
    expect([one, two]).toEqual([
      expect.stringContaining('signed in as one'),
      expect.stringContaining('signed in as two'),
    ]);
    expect(await call(client, 'browser_tabs', { action: 'list' })).toContain('session_create');
    await client.close();
  });
});
