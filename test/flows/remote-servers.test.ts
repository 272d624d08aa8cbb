import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { RemoteServer } from '../support/remote.js';

const doors = [
  ['Streamable HTTP', [], 'auto'],
  ['HTTP+SSE', ['--sse'], 'auto'],
  ['HTTP+SSE, said so', ['--sse'], 'sse'],
] as const;

test.each(doors)(
  'sessions on a remote server over %s keep a remote session each',
  async (_, args, transport) => {
    using folder = new TemporaryFolder();
    using remote = await RemoteServer.start('http-counter', [...args]);
    await using proxy = await ProxyProcess.start(folder, {
      servers: { remote: { url: remote.url, transport } },
    });
    const [one, two] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    expect(await one.text('increment')).toBe('1');
    expect(await one.text('increment')).toBe('2');
    expect(await two.text('increment')).toBe('1');
  },
);

test('G13 configured headers reach the remote server, and nothing of the client does', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(
    folder,
    { servers: { remote: { url: remote.url, headers: { Authorization: 'Bearer ${REMOTE_KEY}' } } } },
    { env: { REMOTE_KEY: 'key-from-config' } },
  );
  const client = new RawClient(proxy.url);
  client.headers = { Authorization: 'Bearer of-the-client', Cookie: 'a=b', 'X-Other': 'x' };
  await client.initialize();
  const headers = JSON.parse(await client.text('headers')) as Record<string, string>;
  expect(headers.authorization).toBe('Bearer key-from-config');
  expect(headers['mcp-session-id']).not.toBe(client.session);
  expect(headers).not.toHaveProperty('cookie');
  expect(headers).not.toHaveProperty('x-other');
});

test('a remote session that the server has forgotten is opened anew, and the loss is told', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, {
    servers: { remote: { url: remote.url, transport: 'http' } },
  });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const broken = await client.call('crash');
  expect(broken.result?.isError).toBe(true);
  expect(textOf(broken)).toMatch(/Server "remote".*unknown|broke/s);
  // The first call may still find the forgotten session; it is refused, not carried out, and so it may be sent again.
  let text = '';
  await until(async () => /^1$/m.test((text = await client.text('increment'))));
  expect(text).toMatch(/Server "remote" has ended the session \(HTTP 404\)/);
});

test('closing a session sends DELETE to the remote server', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  await client.delete();
  expect(await remote.seen()).toContain('DELETE');
});

test('a question of a remote server comes on the stream of the call that caused it', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url, { elicitation: { form: {} } });
  const response = await client.post({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'ask' },
  });
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'elicitation/create') {
      await client.post({ jsonrpc: '2.0', id: message.id, result: { action: 'cancel' } });
    } else if (message) {
      expect(textOf(message)).toBe('{"action":"cancel"}');
    }
  }
});

test('a remote server that cannot be reached is named with its address', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { remote: { url: 'http://127.0.0.1:9/mcp' } },
  });
  const client = await RawClient.open(proxy.url);
  expect(textOf(await client.call('increment'))).toMatch(
    /^Server "remote" cannot be reached at http:\/\/127\.0\.0\.1:9\/mcp: .*Check servers\.remote\.url\./,
  );
});

test('over HTTP+SSE a broken stream ends the session: the next one begins with a handshake, and the loss is told', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter', ['--sse']);
  await using proxy = await ProxyProcess.start(folder, {
    servers: { remote: { url: remote.url, transport: 'sse' } },
  });
  const client = await RawClient.open(proxy.url);
  expect(await client.text('increment')).toBe('1');
  expect(textOf(await client.call('crash'))).toMatch(/Server "remote" broke its stream.*unknown/s);
  const text = await client.text('increment');
  expect(text).toMatch(/Server "remote" broke its stream/);
  expect(text).toMatch(/^1$/m);
});
