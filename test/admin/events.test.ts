import { createServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { remoteDoor } from '../../src/admin/client.js';
import type { EventView } from '../../src/admin/door.js';
import { setLogLevel } from '../../src/logger.js';
import { RawApi } from '../support/api.js';
import { eventsOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

setLogLevel('silent');

const config = { servers: { counter: local('counter') } };

/** A port that was free just now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Numbers of the events of a stream, until it ends or there are enough. */
async function numbers(response: Response, enough = Infinity): Promise<number[]> {
  const seen: number[] = [];
  for await (const { id, message } of eventsOf(response)) {
    if (message) seen.push(Number(id));
    if (seen.length >= enough) break;
  }
  return seen;
}

const from = (first: number, last: number) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

test('T11 a stream gives what is asked for and then what happens, and ends when the session is closed', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const api = new RawApi(proxy.url);
  await api.ask('POST', '/sessions', { name: 'a' });
  const set = (value: number) => api.ask('PUT', '/sessions/a/state/key', { value });
  for (let i = 0; i < 4; i++) await set(i);
  const accept = { Accept: 'text/event-stream' };
  const streams = await Promise.all([
    api.send('GET', '/sessions/a/events', undefined, accept),
    api.send('GET', '/sessions/a/events?last=2', undefined, accept),
    api.send('GET', '/sessions/a/events?after=4&follow=true'),
    api.send('GET', '/sessions/a/events?last=0&follow=true'),
    api.send('GET', '/sessions/a/events', undefined, { ...accept, 'Last-Event-ID': '3' }),
  ]);
  for (const { status, headers } of streams)
    expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream']);
  const seen = streams.map((stream) => numbers(stream));
  await set(5);
  await api.ask('DELETE', '/sessions/a');
  expect(await Promise.all(seen)).toEqual([from(1, 7), from(4, 7), from(5, 7), from(6, 7), from(4, 7)]);
  const late = await api.ask('GET', '/sessions/a/events', undefined, accept);
  expect(late.status).toBe(404);
});

test('T11 readers that come while much happens miss nothing and get nothing twice', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const api = new RawApi(proxy.url);
  await api.ask('POST', '/sessions', { name: 'a' });
  const last = 201;
  const writing = (async () => {
    for (let i = 0; i < 20; i++)
      await Promise.all(from(1, 10).map((value) => api.ask('PUT', '/sessions/a/state/key', { value })));
  })();
  const readers = await Promise.all(
    from(1, 10).map(async (i) => {
      await new Promise((resolve) => setTimeout(resolve, i * 15));
      return numbers(await api.send('GET', '/sessions/a/events?follow=1'), last);
    }),
  );
  await writing;
  for (const seen of readers) expect(seen).toEqual(from(1, last));
});

test('a stream says first from where it goes on, so that one that breaks at once is taken up there', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const api = new RawApi(proxy.url);
  await api.ask('POST', '/sessions', { name: 'a' });
  for (let value = 0; value < 4; value++) await api.ask('PUT', '/sessions/a/state/key', { value });
  for (const [query, id] of [
    ['', '0'],
    ['&last=2', '3'],
    ['&after=4', '4'],
    ['&last=0', '5'],
    ['&after=5', '5'],
  ] as const) {
    const response = await api.send('GET', `/sessions/a/events?follow=true${query}`);
    expect((await eventsOf(response).next()).value).toEqual({ id, message: undefined });
  }
});

test('a stream ends when the proxy stops, after the last that happened', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const api = new RawApi(proxy.url);
  await api.ask('POST', '/sessions', { name: 'a', bind: true });
  const response = await api.send('GET', '/sessions/a/events?follow=true');
  const ended = (async () => {
    const types: unknown[] = [];
    for await (const { message } of eventsOf(response)) {
      const event = message as unknown as EventView | undefined;
      if (event) types.push([event.type, event.data.to]);
    }
    return types;
  })();
  expect(await proxy.stop()).toEqual({ code: 0, signal: null });
  expect(await ended).toEqual([
    ['created', undefined],
    ['state', 'active'],
    ['state', 'paused'],
  ]);
});

test('readers who leave are forgotten, and the proxy stops as fast as ever', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const api = new RawApi(proxy.url);
  await api.ask('POST', '/sessions', { name: 'a' });
  for (let i = 0; i < 20; i++) {
    const abort = new AbortController();
    const response = await api.send('GET', '/sessions/a/events?follow=true', undefined, {}, abort.signal);
    await numbers(response, 1);
    abort.abort();
  }
  expect((await api.ask('PUT', '/sessions/a/state/key', { value: 1 })).status).toBe(200);
  const begun = Date.now();
  await proxy.stop();
  expect(Date.now() - begun).toBeLessThan(2000);
});

test('a client follows on over a restart of the proxy, from where it was', async () => {
  using folder = new TemporaryFolder();
  const options = { args: ['--http', `127.0.0.1:${await freePort()}`] };
  await using first = await ProxyProcess.start(folder, config, options);
  await using door = remoteDoor(first.url);
  await door.create({ name: 'a' });
  const seen: EventView[] = [];
  await door.follow('a', (event) => seen.push(event));
  await door.setValue('a', 'key', 1);
  await until(() => seen.length === 1);
  await first.kill();
  await expect(door.info('a')).rejects.toMatchObject({ code: 'SERVER_UNAVAILABLE' });

  await using second = await ProxyProcess.start(folder, config, options);
  expect(second.url).toBe(first.url);
  await door.setValue('a', 'key', 2);
  await door.setValue('a', 'key', 3);
  await until(() => seen.length >= 3);
  await door.close('a');
  await until(() => seen.at(-1)?.data.to === 'closed');
  expect(seen.map(({ seq }) => seq)).toEqual(from(2, seen.length + 1));
});

test('a client says where nobody answers, and what to do', async () => {
  await using door = remoteDoor(`http://127.0.0.1:${await freePort()}/mcp`);
  const url = expect.stringMatching(
    /^No proxy answers at http:\/\/127\.0\.0\.1:\d+\/api\/v1: connect ECONNREFUSED .*\. Start it \(mcp-session-proxy --http\), or check the URL\.$/,
  ) as string;
  await expect(door.list()).rejects.toMatchObject({ code: 'SERVER_UNAVAILABLE', message: url });
  await expect(door.follow('a', () => {})).rejects.toMatchObject({ code: 'SERVER_UNAVAILABLE' });
});

test('a client tells what answers but is no proxy', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  await using wrong = remoteDoor(new URL('/elsewhere', proxy.url).href);
  await expect(wrong.list()).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'Nothing is here. The MCP endpoint is /mcp.',
  });
  const page = createServer((socket) =>
    socket.end('HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<h1>Hello</h1>'),
  );
  await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve));
  await using door = remoteDoor(`http://127.0.0.1:${(page.address() as AddressInfo).port}`);
  await expect(door.list()).rejects.toThrow(
    /^What answers at http:\/\/127\.0\.0\.1:\d+\/api\/v1\/sessions does not speak as this version of mcp-session-proxy does/,
  );
  page.close();
});
