import { expect, test, vi } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, lostIn, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;

test('B1 a server that leaves at once is still told to have been stopped for idleness', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  world.connection().leaving = undefined;
  world.clock.jump(MINUTE);
  expect(lostIn(await session.request(client.call('x')))).toEqual([
    { server: 'one', reason: 'was stopped because the session had been idle' },
  ]);
});

test('B7 a loss is told with the next result, also when the first call after it fails', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const client = new FakeClient();
  const first = session.request(client.call('x'));
  const one = await world.started();
  one.answer(await one.request(), text('done'));
  await first;
  one.die('exited with code 1');
  const second = session.request(client.call('x'));
  const two = await world.started(2);
  await two.request();
  await world.clock.advance(180_000); // timeouts.call
  const failed = await second;
  const third = session.request(client.call('x'));
  two.answer(await two.request('tools/call', 2), text('done'));
  const told = [lostIn(failed), lostIn(await third)].filter((lost) => lost !== undefined);
  expect(told).toEqual([[{ server: 'one', reason: 'exited with code 1' }]]);
});

test('B9 a session that uses a server which runs already is active', async () => {
  using world = new World({ servers: { one: { scope: 'principal' } } });
  const client = new FakeClient();
  const [a, b] = [world.session('a'), world.session('b')];
  await a.request(client.call('x'));
  await b.request(client.call('x'));
  expect([a.state, b.state]).toEqual(['active', 'active']);
});

test('B11 a server whose start cannot be stored does not run on', async () => {
  using world = new World();
  const session = world.session();
  const full = vi.spyOn(world.store.bindings, 'put').mockImplementation(() => {
    throw new Error('disk full');
  });
  const outcome = await session.request(new FakeClient().call('x'));
  full.mockRestore();
  expect(codeOf(outcome)).toBe('STORE_FAILED');
  expect(world.running).toEqual([]);
});
