import { expect, test } from 'vitest';
import type { Principal } from '../../src/auth/principal.js';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, lostIn, said, World } from '../support/world.js';

setLogLevel('silent');

const CROWDED = 'was stopped because more sessions than allowed were running';

test('beyond the limit the session that was idle longest is paused', async () => {
  using world = new World({ sessions: { max: 2 } });
  const client = new FakeClient();
  const [a, b, c] = [world.session('a'), world.session('b'), world.session('c')];
  for (const session of [a, b]) {
    await session.request(client.call('x'));
    world.clock.jump(1000);
  }
  await a.request(client.call('x')); // now b is the one that was idle longest
  world.clock.jump(1000);
  expect(said(await c.request(client.call('x')))).toBe('3 x');
  expect([a.state, b.state, c.state]).toEqual(['active', 'paused', 'active']);
  expect(world.connections.map(({ isClosed }) => isClosed)).toEqual([false, true, false]);
});

test('a session that had to make room goes on with its next call and is told why', async () => {
  using world = new World({ sessions: { max: 1 } });
  const client = new FakeClient();
  const [a, b] = [world.session('a'), world.session('b')];
  await a.request(client.call('x'));
  await b.request(client.call('x'));
  const outcome = await a.request(client.call('x'));
  expect(lostIn(outcome)).toEqual([{ server: 'one', reason: CROWDED }]);
  expect([a.state, b.state]).toEqual(['active', 'paused']);
});

test('the server that makes room is gone before the next one starts', async () => {
  using world = new World({ sessions: { max: 1 } });
  const client = new FakeClient();
  const [a, b] = [world.session('a'), world.session('b')];
  await a.request(client.call('x'));
  let runningAtStart: number | undefined;
  world.starting = () => {
    runningAtStart = world.running.length;
    return Promise.resolve();
  };
  await b.request(client.call('x'));
  expect(runningAtStart).toBe(0);
});

test('where all have requests under way the next session is refused, and told which limit it is', async () => {
  using world = new World({ sessions: { max: 1 }, manners: slow });
  const client = new FakeClient();
  const [a, b] = [world.session('a'), world.session('b')];
  const first = a.request(client.call('x'));
  const request = await (await world.started()).request();
  const refused = await b.request(client.call('x'));
  expect(codeOf(refused)).toBe('SESSION_LIMIT');
  expect(said(refused)).toBe(
    'All 1 sessions (sessions.max) have requests under way. Try again later, or raise the limit.',
  );
  world.connection().answer(request, text('done'));
  expect(said(await first)).toBe('done');
  const second = b.request(client.call('x'));
  const next = await world.started(2);
  next.answer(await next.request(), text('room'));
  expect(said(await second)).toBe('room');
});

test('one principal’s limit pauses sessions of that principal alone', async () => {
  using world = new World({ sessions: { max: 10, maxPerPrincipal: 1 } });
  const client = new FakeClient();
  const [ann, bob]: Principal[] = [
    { id: 'ann', admin: false },
    { id: 'bob', admin: false },
  ];
  if (!ann || !bob) throw new Error('nobody');
  const bobs = world.manager.create(bob);
  await bobs.request(client.call('x'));
  world.clock.jump(1000);
  const [first, second] = [world.manager.create(ann), world.manager.create(ann)];
  await first.request(client.call('x'));
  await second.request(client.call('x'));
  expect([bobs.state, first.state, second.state]).toEqual(['active', 'paused', 'active']);
});

test('at the limit a principal whose sessions are all busy is told that it is theirs', async () => {
  using world = new World({ sessions: { maxPerPrincipal: 1 }, manners: slow });
  const client = new FakeClient();
  const [a, b] = [world.session(), world.session()];
  const first = a.request(client.call('x'));
  const request = await (await world.started()).request();
  expect(said(await b.request(client.call('x')))).toBe(
    'All 1 sessions (sessions.maxPerPrincipal) have requests under way. Try again later, or raise the limit.',
  );
  world.connection().answer(request, text('done'));
  await first;
});

test('a paused session does not count', async () => {
  using world = new World({ sessions: { max: 1 } });
  const client = new FakeClient();
  const [a, b] = [world.session(), world.session()];
  await a.request(client.call('x'));
  await a.pause('was stopped by the test');
  await b.request(client.call('x'));
  await b.pause('was stopped by the test');
  await a.request(client.call('x'));
  expect([a.state, b.state]).toEqual(['active', 'paused']);
});
