import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import type { Outcome } from '../../src/protocol/messages.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;

const broken = () => new ProxyError('SERVER_UNAVAILABLE', 'Server "one" cannot be started: nothing works.');

/** The outcome of what was asked; time goes by until it is there. */
async function passing(world: World, asked: Promise<Outcome>): Promise<Outcome> {
  let over = false;
  const end = () => (over = true);
  asked.then(end, end);
  for (;;) {
    for (let turn = 0; turn < 10 && !over; turn++) await world.committed();
    if (over) return asked;
    await world.clock.advance(100);
  }
}

/** Calls in a session each, as clients make them that open one for each call. */
async function call(world: World): Promise<Outcome> {
  const session = world.session();
  const outcome = await passing(world, session.request(new FakeClient().call('x')));
  await world.manager.close(session, 'was stopped by the test');
  return outcome;
}

test('after five failed starts in ten seconds calls fail at once, with the reason and the time of the next try', async () => {
  using world = new World();
  world.broken = broken();
  for (let i = 0; i < 4; i++) expect(codeOf(await call(world))).toBe('SERVER_UNAVAILABLE');
  expect(codeOf(await call(world))).toBe('SERVER_UNAVAILABLE');
  const outcome = await world.session().request(new FakeClient().call('x'));
  expect(codeOf(outcome)).toBe('CIRCUIT_OPEN');
  const [until = ''] = /\d{4}-\S+Z/.exec(said(outcome)) ?? [];
  expect(said(outcome)).toBe(
    `Server "one" failed 5 times in 10s and is not started again until ${until}. ` +
      `The last time it could not be started: Server "one" cannot be started: nothing works.`,
  );
  const wait = Date.parse(until) - world.clock.now();
  expect(wait).toBeGreaterThan(28_000);
  expect(wait).toBeLessThanOrEqual(30_000);
  expect(world.starts).toBe(5);
});

test('the first restart is at once, the next one waits, and the call with it', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (const number of [1, 2]) {
    await session.request(client.call('x'));
    world.connection(number).die();
  }
  const outcome = session.request(client.call('x'));
  await world.clock.advance(199);
  expect(world.starts).toBe(2);
  await world.clock.advance(1);
  expect(said(await outcome)).toContain('3 x');
});

test('a session that is closed while its server waits to be started is closed at once, and starts none', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (const number of [1, 2]) {
    await session.request(client.call('x'));
    world.connection(number).die();
  }
  const outcome = session.request(client.call('x'));
  const cancelled = expect(outcome).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  await world.committed();
  await world.manager.close(session, 'was stopped by the test');
  await cancelled;
  await world.clock.advance(MINUTE);
  expect(world.running).toEqual([]);
});

test.each([1000, 3000, 9000])(
  'a server that dies %i ms after each start, for ever, is started twelve times a minute at most',
  async (life) => {
    using world = new World();
    const session = world.session();
    const client = new FakeClient();
    const starts: number[] = [];
    const codes = new Set<unknown>();
    while (world.clock.steady() < 20 * MINUTE) {
      const before = world.starts;
      const outcome = await passing(world, session.request(client.call('x')));
      codes.add(codeOf(outcome));
      if (world.starts === before) {
        // Told at once when it may be tried again, the client comes back then.
        const [until = ''] = /\d{4}-\S+Z/.exec(said(outcome)) ?? [];
        await world.clock.advance(Date.parse(until) - world.clock.now());
        continue;
      }
      starts.push(world.clock.steady());
      await world.clock.advance(life);
      world.connection(starts.length).die();
    }
    expect(codes).toEqual(new Set([undefined, 'CIRCUIT_OPEN']));
    const most = Math.max(
      ...starts.map((from) => starts.filter((at) => at >= from && at < from + MINUTE).length),
    );
    expect(most).toBeLessThanOrEqual(12);
    // In the long run it is as good as left alone.
    expect(starts.filter((at) => at > 10 * MINUTE).length).toBeLessThanOrEqual(10 * 4);
  },
);

test('a server that ran for a minute is started anew at once, whatever was before', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (let number = 1; number <= 12; number++) {
    expect(said(await session.request(client.call('x')))).toContain(`${number} x`);
    world.clock.jump(MINUTE);
    world.connection(number).die();
  }
});

test('after the wait one start is tried, and when it serves all is as before', async () => {
  using world = new World();
  world.broken = broken();
  for (let i = 0; i < 5; i++) await call(world);
  world.clock.jump(30_000);
  world.broken = undefined;
  expect(said(await call(world))).toContain('1 x');
  expect(said(await call(world))).toContain('2 x');
});

test('a try that fails keeps it open for the same time again', async () => {
  using world = new World();
  world.broken = broken();
  for (let i = 0; i < 5; i++) await call(world);
  world.clock.jump(30_000);
  const tried = world.starts;
  const at = () => world.session().request(new FakeClient().call('x'));
  const outcomes = await Promise.all([at(), at(), at()]);
  expect(outcomes.map(codeOf).sort()).toEqual(['CIRCUIT_OPEN', 'CIRCUIT_OPEN', 'SERVER_UNAVAILABLE']);
  world.clock.jump(29_000);
  expect(codeOf(await at())).toBe('CIRCUIT_OPEN');
  expect(world.starts).toBe(tried + 1);
});

test('a server that dies at each call is started five times and not a sixth, and other sessions are not shut out', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (let i = 0; i < 5; i++) {
    await passing(world, session.request(client.call('x')));
    world.connection(i + 1).die('exited with code 3');
  }
  const outcome = await session.request(client.call('x'));
  expect([codeOf(outcome), world.starts]).toEqual(['CIRCUIT_OPEN', 5]);
  expect(said(outcome)).toContain('The last time it exited with code 3.');
  expect(said(await call(world))).toContain('6 x');
});
