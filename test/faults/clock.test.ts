import { expect, test } from 'vitest';
import { Hands } from '../../src/clock.js';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { rounds, Dice } from '../support/faults.js';
import { codeOf, FakeClient, principal, said, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

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

test('a clock that is set back and forth ends no session that is in use and makes no more timers', async () => {
  using world = new World({ sessions: { ttl: 2 * HOUR, onTimeout: 'close', maxAge: 2 * DAY } });
  const session = world.session();
  const client = new FakeClient();
  expect(said(await session.request(client.call('x')))).toBe('1 x');
  const pending = world.clock.pending;
  for (let time = 0; time < 20; time++) {
    world.clock.set(time % 2 === 0 ? -HOUR : DAY);
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
  const session = world.session();
  const client = new FakeClient();
  for (let number = 1; number <= 5; number++) {
    const outcome = session.request(client.call('x'));
    await world.clock.advance(2000);
    await outcome;
    world.connection(number).die();
  }
  expect(codeOf(await session.request(client.call('x')))).toBe('CIRCUIT_OPEN');
  world.clock.set(-HOUR);
  world.clock.jump(29_999);
  expect(codeOf(await session.request(client.call('x')))).toBe('CIRCUIT_OPEN');
  world.clock.jump(1);
  expect(said(await session.request(client.call('x')))).toContain('6 x');
});

test('a clock that is set a day forward, or a night slept through, ends no session early, in use, idle, at rest or extended', async () => {
  using world = new World({
    sessions: { ttl: HOUR, onTimeout: 'close', maxAge: 10 * HOUR, retention: 5 * HOUR },
  });
  const client = new FakeClient();
  const [used, fresh, extended] = [world.session(), world.session(), world.session()];
  const patient = world.manager.create(principal, { ttl: 3 * HOUR });
  for (const session of [used, extended]) await session.request(client.call('x'));
  extended.extend(HOUR);
  const unloaded = world.session('unloaded').id;
  await world.clock.advance(MINUTE);
  const next = new World({ store: world.store, clock: world.clock, instance: 'next' });
  world.clock.set(DAY);
  await next.manager.sweep();
  await world.manager.sweep();
  const all = [used, fresh, extended, patient];
  const states = () => all.map(({ state }) => state);
  expect(states()).toEqual(['active', 'idle', 'active', 'idle']);
  expect(world.store.sessions.get(unloaded)?.state).toBe('idle');
  expect(said(await used.request(client.call('x')))).toBe('1 x');
  // And what is left of their time is what was left before, for each.
  const left = all.map(({ expiresAt }) => Math.round((expiresAt - world.clock.now()) / MINUTE));
  expect(left).toEqual([60, 59, 119, 179]);
  await world.clock.advance(59 * MINUTE);
  await world.manager.sweep();
  expect(states()).toEqual(['active', 'closed', 'active', 'idle']);
  expect(world.store.sessions.get(unloaded)?.state).toBe('closed');
  await world.clock.advance(62 * MINUTE);
  expect(states()).toEqual(['closed', 'closed', 'closed', 'idle']);
  await world.clock.advance(HOUR);
  await world.manager.sweep();
  expect(states()).toEqual(['closed', 'closed', 'closed', 'closed']);
});

test('what is kept for some time is kept for that time, also when the clock is set far forward', async () => {
  using world = new World({
    sessions: { retention: 7 * DAY, stateTtl: { session: 2 * DAY } },
  });
  const session = world.session('kept');
  const client = world.attachments.attach(session, new FakeClient().client, false);
  session.values.set('key', 'value');
  await session.request(new FakeClient().call('x'));
  await world.manager.stop('was stopped by the test');
  await world.committed();
  world.clock.set(1000 * DAY);
  await world.manager.sweep();
  expect(world.store.sessions.get(session.id)).toBeDefined();
  expect(world.store.attachments.get(client.attachment.id)).toBeDefined();
  expect(world.store.state.list('session', session.id)).toHaveLength(1);
  world.clock.jump(3 * DAY);
  await world.manager.sweep();
  expect(world.store.sessions.get(session.id)).toBeDefined();
  expect(world.store.state.list('session', session.id)).toEqual([]);
  world.clock.jump(4 * DAY + MINUTE);
  await world.manager.sweep();
  expect(world.store.sessions.get(session.id)).toBeUndefined();
});

test('however often the clock jumps, what was long ago is exactly so long ago, and comes due exactly when it should', () => {
  const dice = new Dice();
  const at = { wall: 1_000_000_000, steady: 0 };
  const hands = new Hands(
    () => at.wall,
    () => at.steady,
  );
  /** Moments as they were told, with when they really were. */
  const moments: { told: number; at: number }[] = [];
  for (let step = 0; step < rounds(500); step++) {
    if (dice.roll(4) === 0) at.wall += 20_000 + dice.roll(DAY);
    moments.push({ told: hands.now(), at: at.steady });
    const passed = 1000 + dice.roll(HOUR);
    at.wall += passed;
    at.steady += passed;
    moments.push({ told: hands.now(), at: at.steady });
    for (const moment of moments.slice(-20)) {
      const age = at.steady - moment.at;
      const then = moments.filter((one) => one.at === moment.at).map(({ told }) => told);
      expect(then, `seed ${dice.seed}`).toContain(hands.ago(age));
      expect(hands.due(moment.told, age), `seed ${dice.seed}`).toBeLessThanOrEqual(hands.now());
      expect(hands.due(moment.told, age + 1), `seed ${dice.seed}`).toBe(hands.now() + 1);
    }
  }
});

test('a clock that was set forward by mistake and back again leaves times as they were', () => {
  const at = { wall: 1_000_000_000, steady: 0 };
  const hands = new Hands(
    () => at.wall,
    () => at.steady,
  );
  const pass = (ms: number) => ((at.wall += ms), (at.steady += ms));
  const before = hands.now();
  at.wall += 365 * DAY;
  expect(hands.due(before, HOUR)).toBe(hands.now() + HOUR);
  at.wall -= 365 * DAY;
  pass(MINUTE);
  expect([hands.due(before, HOUR), hands.ago(MINUTE)]).toEqual([before + HOUR, before]);
});
