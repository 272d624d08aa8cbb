import Database from 'better-sqlite3';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { counter: local('counter') } };
const PING = { jsonrpc: '2.0', id: 1, method: 'ping' };

test('SIGTERM with a call in flight: it is answered, new requests get 503, exit 0 and no child is left', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const [busy, other] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const pids = [Number(await busy.text('pid')), Number(await other.text('pid'))];
  const inFlight = busy.call('sleep', { ms: 1000 });
  await busy.text('get');
  proxy.process.kill('SIGTERM');
  let refused = await other.post(PING);
  await until(async () => {
    if (refused.status === 503) return true;
    refused = await other.post(PING);
    return false;
  });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ jsonrpc: '2.0', error: { data: { code: 'SHUTTING_DOWN' } } });
  const initialize = await new RawClient(proxy.url).post({
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: {},
  });
  expect(initialize.status).toBe(503);
  expect(textOf(await inFlight)).toBe('slept 1000');
  expect(await proxy.exited).toEqual({ code: 0, signal: null });
  expect(pids.filter(isAlive)).toEqual([]);
});

test('a second SIGTERM ends the proxy at once, and its servers see the end of their input', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { hangs: local('never-answers') } });
  const client = await RawClient.open(proxy.url);
  const pid = Number(await client.text('pid'));
  const inFlight = client.call('hang').then(textOf, () => 'cut off');
  await client.text('pid');
  proxy.process.kill('SIGTERM');
  await until(async () => (await client.post(PING)).status === 503);
  proxy.process.kill('SIGTERM');
  expect((await proxy.exited).code).toBe(1);
  expect(await inFlight).toBe('cut off');
  await until(() => !isAlive(pid));
});

test('SIGINT ends the proxy as SIGTERM does, with streams open and sessions idle', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const clients = await Promise.all(Array.from({ length: 5 }, () => RawClient.open(proxy.url)));
  const pids = await Promise.all(clients.map(async (client) => Number(await client.text('pid'))));
  const streams = await Promise.all(clients.map(async (client) => eventsOf(await client.stream())));
  await Promise.all(streams.map((stream) => stream.next()));
  proxy.process.kill('SIGINT');
  expect(await proxy.exited).toEqual({ code: 0, signal: null });
  expect(pids.filter(isAlive)).toEqual([]);
  for (const stream of streams) await stream.next().catch(() => {});
});

test('a stopped proxy leaves its store in order: sessions paused, no process and no child on the books', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  await proxy.stop();
  const db = new Database(join(folder.path, 'store.db'), { readonly: true });
  try {
    expect(db.prepare('SELECT state, instance FROM sessions').all()).toEqual([
      { state: 'paused', instance: null },
    ]);
    expect(db.prepare('SELECT * FROM instances').all()).toEqual([]);
    expect(db.prepare('SELECT * FROM children').all()).toEqual([]);
    expect(db.pragma('integrity_check', { simple: true })).toBe('ok');
  } finally {
    db.close();
  }
});

test('a call that does not end gets its grace and then an honest answer, and the proxy exits 0', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { hangs: local('never-answers') } });
  const client = await RawClient.open(proxy.url);
  await client.request('tools/list');
  const pid = Number(await client.text('pid'));
  const hung = client.call('hang');
  await client.text('pid');
  proxy.process.kill('SIGTERM');
  expect(textOf(await hung)).toMatch(/^Server "hangs" was stopped with the proxy .*outcome is unknown/);
  expect(await proxy.exited).toEqual({ code: 0, signal: null });
  expect(isAlive(pid)).toBe(false);
});

test('servers that ignore the end of input and SIGTERM are gone when the proxy has exited', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { stays: local('ignores-eof'), leaves: local('leaves-grandchild') },
  });
  const client = await RawClient.open(proxy.url);
  const pids = [await client.text('stays__pid'), await client.text('leaves__pids')]
    .join(' ')
    .split(' ')
    .map(Number);
  expect(pids).toHaveLength(3);
  expect(await proxy.stop()).toEqual({ code: 0, signal: null });
  await until(() => !pids.some(isAlive));
});

test('half-sent requests do not keep the proxy from stopping', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('get');
  const { port, hostname } = new URL(proxy.url);
  const sockets = await Promise.all(
    [
      'POST /mcp HT',
      'POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{',
    ].map(async (text) => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {}).resume();
      await once(socket, 'connect');
      socket.write(text);
      return socket;
    }),
  );
  await client.text('get');
  expect(await proxy.stop()).toEqual({ code: 0, signal: null });
  for (const socket of sockets) socket.destroy();
});
