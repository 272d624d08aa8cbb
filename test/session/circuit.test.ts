import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

const broken = () => new ProxyError('SERVER_UNAVAILABLE', 'Server "one" cannot be started: nothing works.');

/** Calls in a session each, as clients make them that open one for each call. */
const call = (world: World) => world.session().request(new FakeClient().call('x'));

test('after five failed starts in ten seconds calls fail at once, with the reason and the time of the next try', async () => {
  using world = new World();
  world.broken = broken();
  for (let i = 0; i < 5; i++) expect(codeOf(await call(world))).toBe('SERVER_UNAVAILABLE');
  const outcome = await call(world);
  expect(codeOf(outcome)).toBe('CIRCUIT_OPEN');
  const until = new Date(world.clock.now() + 30_000).toISOString();
  expect(said(outcome)).toBe(
    `Server "one" failed 5 times in 10s and is not started again until ${until}. ` +
      `The last time it could not be started: Server "one" cannot be started: nothing works.`,
  );
  expect(world.starts).toBe(5);
});

test('failures that are far apart open nothing', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (let i = 0; i < 12; i++) {
    await session.request(client.call('x'));
    world.connection(i + 1).die();
    world.clock.jump(3000);
  }
  expect(said(await session.request(client.call('x')))).toContain('13 x');
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
  const outcomes = await Promise.all([call(world), call(world), call(world)]);
  expect(outcomes.map(codeOf).sort()).toEqual(['CIRCUIT_OPEN', 'CIRCUIT_OPEN', 'SERVER_UNAVAILABLE']);
  world.clock.jump(29_000);
  expect(codeOf(await call(world))).toBe('CIRCUIT_OPEN');
  expect(world.starts).toBe(tried + 1);
});

test('a server that dies at each call is started five times and not a sixth, and other sessions are not shut out', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  for (let i = 0; i < 5; i++) {
    await session.request(client.call('x'));
    world.connection(i + 1).die('exited with code 3');
  }
  const outcome = await session.request(client.call('x'));
  expect([codeOf(outcome), world.starts]).toEqual(['CIRCUIT_OPEN', 5]);
  expect(said(outcome)).toContain('The last time it exited with code 3.');
  expect(said(await call(world))).toContain('6 x');
});
