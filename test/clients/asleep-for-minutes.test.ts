import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { RawClient } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const servers = { counter: local('counter') };

/** Sends one request on a connection that then says and reads nothing any more, as a laptop that was closed. */
async function fallAsleep(client: RawClient, head: string, body = ''): Promise<Socket> {
  const { hostname, port, pathname } = new URL(client.url);
  const socket = connect(Number(port), hostname);
  const [method = ''] = head.split('\r\n');
  const lines = [
    `${method} ${pathname} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    `Mcp-Session-Id: ${client.session}`,
    'MCP-Protocol-Version: 2025-11-25',
    'Accept: application/json, text/event-stream',
    ...(body === '' ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  await new Promise((resolve) => socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`, resolve));
  socket.pause();
  return socket;
}

const incrementing = JSON.stringify({
  jsonrpc: '2.0',
  id: 'asleep',
  method: 'tools/call',
  params: { name: 'increment', arguments: {} },
});

test('a client that fell asleep on its own stream wakes up in its session, with its old connection still half open', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url);
  const pid = await client.text('pid');
  const asleep = await fallAsleep(client, 'GET');
  expect(await client.text('increment')).toBe('1');
  expect(await client.text('pid')).toBe(pid);
  asleep.destroy();
});

test('a call whose client fell asleep takes place, and the client finds its effect when it wakes up', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url);
  const pid = await client.text('pid');
  const asleep = await fallAsleep(client, 'POST', incrementing);
  await until(async () => (await client.text('get')) === '1');
  asleep.resetAndDestroy();
  expect([await client.text('increment'), await client.text('pid')]).toEqual(['2', pid]);
});

test('slept longer than idle sessions keep their servers: the id is good, and the model is told what was lost', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { ttl: '200ms' } });
  const client = await RawClient.open(proxy.url);
  const pid = Number(await client.text('pid'));
  const asleep = await fallAsleep(client, 'GET');
  await until(() => !isAlive(pid));
  expect(await client.text('increment')).toMatch(/had been idle.*\n1$/s);
  asleep.destroy();
});
