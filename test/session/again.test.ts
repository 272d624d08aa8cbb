import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import type { Fields } from '../../src/protocol/messages.js';
import { CAPABILITIES, polite } from '../support/fake-server.js';
import { FakeClient, World } from '../support/world.js';

setLogLevel('silent');

/** What a process was told before its first tool call. */
function toldFirst(world: World, number: number): [string, Fields | undefined][] {
  const told: [string, Fields | undefined][] = [];
  for (const message of world.connection(number).sent) {
    if (!('method' in message)) continue;
    if (message.method === 'tools/call') break;
    told.push([message.method, message.params]);
  }
  return told;
}

test('log level and subscriptions are told again to generation 2, before its first call', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  await session.request(client.exchange('logging/setLevel', { level: 'debug' }));
  await session.request(client.exchange('resources/subscribe', { uri: 'file:///a' }));
  await session.request(client.exchange('resources/subscribe', { uri: 'file:///b' }));
  await session.request(client.exchange('resources/unsubscribe', { uri: 'file:///a' }));
  world.connection().die();
  await session.request(client.call('x'));
  expect(toldFirst(world, 2)).toEqual([
    ['logging/setLevel', { level: 'debug' }],
    ['resources/subscribe', { uri: 'file:///b' }],
  ]);
});

test('they are told again also by the next proxy', async () => {
  using before = new World();
  const session = before.session('work');
  const client = new FakeClient();
  await session.request(client.call('x'));
  await session.request(client.exchange('logging/setLevel', { level: 'error' }));
  await session.request(client.exchange('resources/subscribe', { uri: 'file:///a' }));
  await before.manager.stop('was stopped with the proxy');
  await before.committed();
  const after = new World({ store: before.store, instance: 'next proxy' });
  await after.session('work').request(client.call('x'));
  expect(toldFirst(after, 1)).toEqual([
    ['logging/setLevel', { level: 'error' }],
    ['resources/subscribe', { uri: 'file:///a' }],
  ]);
});

test('each server is told of its own resources alone', async () => {
  using world = new World({
    servers: { one: {}, two: {} },
    manners: (request, connection) =>
      request.method === 'resources/list'
        ? { resources: [{ uri: `own:${connection.config.name}`, name: 'r' }] }
        : polite(request, connection),
  });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.exchange('resources/list', {}));
  for (const name of ['one', 'two'])
    await session.request(client.exchange('resources/subscribe', { uri: `own:${name}` }));
  for (const server of [...world.connections]) server.die();
  for (const name of ['one', 'two']) await session.request(client.call(`${name}__x`));
  for (const name of ['one', 'two']) {
    const again = world
      .of(name)[1]
      ?.sentOf('resources/subscribe')
      .map(({ params }) => params);
    expect(again).toEqual([{ uri: `own:${name}` }]);
  }
});

test('a subscription that the server refused is not told again', async () => {
  using world = new World({
    manners: (request, connection) => {
      if (request.method !== 'resources/subscribe') return polite(request, connection);
      queueMicrotask(() => connection.refuse(request, -32002, 'no such resource'));
      return undefined;
    },
  });
  const session = world.session();
  const client = new FakeClient();
  const refused = await session.request(client.exchange('resources/subscribe', { uri: 'file:///gone' }));
  expect(refused).toEqual({ error: { code: -32002, message: 'no such resource' } });
  world.connection().die();
  await session.request(client.call('x'));
  expect(toldFirst(world, 2)).toEqual([]);
});

test('a fresh server that refuses to hear it again serves all the same', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.exchange('resources/subscribe', { uri: 'file:///a' }));
  world.manners = (request, connection) => {
    if (request.method !== 'resources/subscribe') return polite(request, connection);
    queueMicrotask(() => connection.refuse(request, -32603, 'not now'));
    return undefined;
  };
  world.connection().die();
  expect(await session.request(client.call('x'))).toMatchObject({ result: { content: [{ text: '2 x' }] } });
});

test('a level set before any server runs reaches it when it starts, and starts none', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  expect(await session.request(client.exchange('logging/setLevel', { level: 'info' }))).toEqual({
    result: {},
  });
  expect(world.starts).toBe(0);
  await session.request(client.call('x'));
  expect(toldFirst(world, 1)).toEqual([['logging/setLevel', { level: 'info' }]]);
});

test('a server without logging hears nothing of levels', async () => {
  const { logging: _, ...capabilities } = CAPABILITIES;
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  world.capabilities = capabilities;
  await session.request(client.exchange('logging/setLevel', { level: 'info' }));
  await session.request(client.call('x'));
  await session.request(client.exchange('logging/setLevel', { level: 'debug' }));
  expect(world.connection().sentOf('logging/setLevel')).toEqual([]);
});
