import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { RemoteServer } from '../support/remote.js';
import { handOver, killWorker } from '../support/worker.js';

/** What happens to the worker; the keeper stays. */
const ends = [
  ['killed', killWorker],
  ['replaced', handOver],
] as const;

test.each(ends)(
  'a remote session goes on when the worker is %s: nothing is lost, nothing ended',
  async (_, end) => {
    using folder = new TemporaryFolder();
    using remote = await RemoteServer.start('http-counter');
    await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
    const client = await RawClient.open(proxy.url);
    expect(await client.text('increment')).toBe('1');
    const posts = (await remote.seen()).filter((method) => method === 'POST').length;
    await end(proxy);
    expect(await client.text('increment')).toBe('2');
    const seen = await remote.seen();
    expect(seen).not.toContain('DELETE');
    // No handshake: the call alone.
    expect(seen.filter((method) => method === 'POST')).toHaveLength(posts + 1);
    await proxy.stop();
    expect(await remote.seen()).toContain('DELETE');
  },
);

test('a call under way at a remote server that keeps its events is answered after the worker was killed, and took place once', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter', ['--resumable']);
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = new Client({ name: 'official', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(proxy.url)));
  let underway = false;
  const asked = client.callTool(
    { name: 'increment', arguments: { ms: 1500 } },
    { onprogress: () => (underway = true) },
  );
  await until(() => underway);
  await killWorker(proxy);
  expect((await asked).content).toEqual([{ type: 'text', text: '1' }]);
  expect((await client.callTool({ name: 'increment' })).content).toEqual([{ type: 'text', text: '2' }]);
  await client.close();
});

test('a call under way at a remote server that keeps no events ends at once as of unknown outcome; its session goes on', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url);
  const resume = await client.begin('increment', { ms: 600_000 }, 'slow');
  await killWorker(proxy);
  const [answer] = await client.read(await client.stream(resume));
  expect(textOf(answer ?? {})).toMatch(/outcome is unknown|took effect is unknown/);
  expect(await client.text('increment')).toBe('2');
});

test('what a server tells on its own stream while the worker dies reaches the client that comes back for it', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter', ['--resumable']);
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  let last: string | undefined;
  for (const text of ['before', 'after']) {
    // Told before the client is here again, at whatever moment of the worker's end.
    const replaced = text === 'after' ? killWorker(proxy) : undefined;
    await remote.tell(text);
    await replaced;
    for await (const { id, message } of eventsOf(await client.stream(last))) {
      last = id;
      if (message?.params?.data === text) break;
    }
  }
});

test('a remote session that the server forgot while the worker died is opened anew, and the loss is told', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  await remote.forget();
  await killWorker(proxy);
  const answers = [await client.text('increment'), await client.text('increment')];
  expect(answers.join('\n')).toMatch(
    /Server "remote" has ended the session \(HTTP 404\) and was started anew/,
  );
});

const stateless = [
  ['of 2026-07-28', 'modern-counter', ['--http']],
  ['without session ids', 'http-counter', ['--sessionless']],
] as const;

test.each(stateless)(
  'a remote server %s has nothing to lose with a worker or a pause, and nothing is said to be lost',
  async (_, name, args) => {
    using folder = new TemporaryFolder();
    using remote = await RemoteServer.start(name, [...args]);
    await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
    const client = await RawClient.open(proxy.url);
    expect(await client.text('increment')).toBe('1');
    await killWorker(proxy);
    expect(await client.text('increment')).toBe('2');
    await handOver(proxy);
    expect(await client.text('increment')).toBe('3');
  },
);

test('the id of a remote session is in no file', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  await killWorker(proxy);
  expect(await client.text('increment')).toBe('2');
  const [id = 'none'] = await remote.sessions();
  const files = readdirSync(folder.path, { recursive: true, withFileTypes: true }).filter((file) =>
    file.isFile(),
  );
  expect(files.length).toBeGreaterThan(1);
  for (const { parentPath, name } of files)
    expect(readFileSync(join(parentPath, name)).includes(id)).toBe(false);
});

test('a remote call that nobody waits for any more is cancelled by the next worker', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('http-counter', ['--resumable']);
  await using proxy = await ProxyProcess.start(folder, { servers: { remote: { url: remote.url } } });
  const params = { name: 'increment', arguments: { ms: 600_000 }, _meta: { progressToken: 'p' } };
  const response = await new ModernClient(proxy.url).post('tools/call', params);
  const events = eventsOf(response);
  expect((await events.next()).value?.message?.method).toBe('notifications/progress');
  expect(await remote.cancelled()).toBe(0);
  await killWorker(proxy);
  await until(async () => (await remote.cancelled()) === 1);
});
