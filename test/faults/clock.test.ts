import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test.each([HOUR, -HOUR])(
  'a clock that is set by %i ms ends no call, and its time limit is right afterwards',
  async (by) => {
    using world = new World({ manners: slow, servers: { one: { timeouts: { call: '1m' } } } });
    const outcome = world.session().request(new FakeClient().call('x', {}, 5));
    const server = await world.started();
    const { id } = await server.request();
    const progress = (n: number) =>
      server.say({
        jsonrpc: '2.0',
        method: 'notifications/progress',
        params: { progressToken: id, progress: n },
      });
    world.clock.set(by);
    progress(1);
    await world.clock.advance(59_000);
    progress(2);
    await world.clock.advance(59_000);
    expect(world.running).toHaveLength(1);
    let ended = false;
    void outcome.then(() => (ended = true));
    await world.clock.advance(0);
    expect(ended).toBe(false);
    await world.clock.advance(1000);
    expect(codeOf(await outcome)).toBe('CALL_TIMEOUT');
  },
);

test('a clock that is set back and forth, by less than sessions.ttl, ends no session that is in use and makes no more timers', async () => {
  using world = new World({ sessions: { ttl: 2 * HOUR, onTimeout: 'close', maxAge: 48 * HOUR } });
  const session = world.session();
  const client = new FakeClient();
  expect(said(await session.request(client.call('x')))).toBe('1 x');
  const pending = world.clock.pending;
  for (let time = 0; time < 20; time++) {
    world.clock.set(time % 2 === 0 ? -HOUR : HOUR);
    await world.clock.advance(MINUTE);
    expect(said(await session.request(client.call('x')))).toBe('1 x');
    expect(world.clock.pending).toBe(pending);
  }
  // And the deadline is what it was, counted from the last use.
  await world.clock.advance(119 * MINUTE);
  expect(session.state).toBe('active');
  await world.clock.advance(2 * MINUTE);
  await world.connection().closed;
  expect(session.state).toBe('closed');
});

test('a call under way holds its session, however far the clock is set forward', async () => {
  using world = new World({ manners: slow, sessions: { ttl: MINUTE, onTimeout: 'close' } });
  const session = world.session();
  const outcome = session.request(new FakeClient().call('x'));
  const server = await world.started();
  const request = await server.request();
  world.clock.set(24 * HOUR);
  await world.manager.sweep();
  server.answer(request, text('done'));
  expect(said(await outcome)).toBe('done');
  expect(session.state).toBe('active');
});

test('a circuit that is open does not stay so for longer because the clock was put back', async () => {
  using world = new World();
  world.broken = new ProxyError('SERVER_UNAVAILABLE', 'nothing works');
  const call = () => world.session().request(new FakeClient().call('x'));
  for (let i = 0; i < 5; i++) await call();
  expect(codeOf(await call())).toBe('CIRCUIT_OPEN');
  world.clock.set(-HOUR);
  world.broken = undefined;
  expect(said(await call())).toContain('1 x');
});
