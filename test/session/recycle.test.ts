import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { KEPT, Notebook } from '../support/notebook.js';
import { FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

test('a server of age is replaced between calls, which is told as a loss', async () => {
  using world = new World({ servers: { one: { recycle: { age: '1h' } } }, sessions: { ttl: 86_400_000 } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  await world.clock.advance(3_599_000);
  expect(world.running).toHaveLength(1);
  await world.clock.advance(1000);
  await world.committed();
  expect(world.running).toHaveLength(0);
  expect(said(await session.request(client.call('x')))).toMatch(
    /was stopped because it had run for 1h \(recycle\.age\) and was started anew.*2 x/s,
  );
});

test('no call is cut off by it: the server is replaced when the call has ended', async () => {
  using world = new World({
    servers: { one: { recycle: { age: '10s' } } },
    manners: slow,
    sessions: { ttl: 86_400_000 },
  });
  const session = world.session();
  const pending = session.request(new FakeClient().call('long'));
  const server = await world.started();
  const request = await server.request();
  await world.clock.advance(60_000);
  expect(server.isClosed).toBe(false);
  server.answer(request, text('done'));
  expect(said(await pending)).toContain('done');
  await server.closed;
});

test('a server that nobody calls is stopped, and gives its memory back', async () => {
  using world = new World({ servers: { one: { recycle: { idle: '1m' } } } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  await world.clock.advance(50_000);
  await session.request(client.call('x'));
  await world.clock.advance(55_000);
  expect(world.running).toHaveLength(1);
  await world.clock.advance(5000);
  await world.committed();
  expect(world.running).toHaveLength(0);
  expect(session.state).toBe('active');
});

test('what is recycled is saved before and restored after', async () => {
  const notebook = new Notebook();
  using world = new World({
    servers: {
      one: {
        ...KEPT,
        checkpoint: { ...KEPT.checkpoint, after: [] },
        probe: undefined,
        recycle: { idle: '1m' },
      },
    },
    manners: notebook.manners,
  });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('add', { note: 'milk' }));
  await world.clock.advance(60_000);
  await world.connection().closed;
  expect(said(await session.request(client.call('list')))).toMatch(
    /recycle\.idle.*session restored.*- milk/s,
  );
});
