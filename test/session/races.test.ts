import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { polite, slow, text, type Manners } from '../support/fake-server.js';
import { codeOf, FakeClient, principal, said, World } from '../support/world.js';

setLogLevel('silent');

const MINUTE = 60_000;

/** A gate that a server's leaving or starting waits at. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, wait: () => opened };
}

/** A session whose server waits at the gate to leave, and a call that came meanwhile. */
async function calledWhilePausing(world: World) {
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  const leaving = gate();
  world.connection().leaving = leaving.wait;
  const pausing = session.pause('was stopped by the test');
  const outcome = session.request(client.call('x'));
  return { session, leaving, pausing, outcome };
}

test('a closed session is not found again by its key, not even at once', async () => {
  using world = new World();
  const session = world.session('work');
  const { key } = world.attachments.attach(session, new FakeClient().client, true).attachment;
  await world.manager.close(session, 'was stopped by the test');
  expect(world.attachments.find(key, principal)).toBeUndefined();
});

test('the name of a closed session leads to a new one, also at once', async () => {
  using world = new World();
  const session = world.session('work');
  await world.manager.close(session, 'was stopped by the test');
  expect(world.session('work').id).not.toBe(session.id);
});

test('a server is not started before its predecessor is gone', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const { leaving, pausing, outcome } = await calledWhilePausing(world);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  const startsBefore = world.starts;
  leaving.open();
  await pausing;
  await outcome;
  expect(startsBefore).toBe(1);
});

test('a session that is used while it is being paused is active afterwards and paused in its time', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const { session, leaving, pausing, outcome } = await calledWhilePausing(world);
  for (let i = 0; i < 5; i++) await new Promise(setImmediate);
  leaving.open();
  await pausing;
  await outcome;
  expect([session.state, world.running.length]).toEqual(['active', 1]);
  await world.clock.advance(3 * MINUTE);
  await world.manager.sweep();
  expect([session.state, world.running.length]).toEqual(['paused', 0]);
});

test('two calls after the deadline find one fresh server, and the session active', async () => {
  using world = new World({ sessions: { ttl: MINUTE } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  world.clock.jump(MINUTE);
  const outcomes = await Promise.all([session.request(client.call('x')), session.request(client.call('y'))]);
  expect(outcomes.map((outcome) => said(outcome).split('\n').at(-1))).toEqual(['2 x', '2 y']);
  expect([world.starts, session.state]).toEqual([2, 'active']);
});

test('a call that is cancelled while its server starts is never sent', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  const starting = gate();
  world.starting = starting.wait;
  const exchange = client.call('dangerous');
  const outcome = session.request(exchange);
  await new Promise(setImmediate);
  exchange.cancel({ reason: 'changed my mind' });
  starting.open();
  await expect(outcome).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  await session.request(client.call('next'));
  expect(
    world
      .connection()
      .requests('tools/call')
      .map(({ params }) => params?.name),
  ).toEqual(['next']);
});

const mortal: Manners = (request, connection) => {
  if (request.method !== 'tools/call') return polite(request, connection);
  queueMicrotask(() => connection.die('exited with code 3'));
  return undefined;
};

test('an unknown outcome stays one when the server cannot be started again', async () => {
  using world = new World({ manners: mortal });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.exchange('prompts/get', { name: 'p' }));
  world.broken = new ProxyError('SERVER_UNAVAILABLE', 'It cannot be started.');
  const outcome = await session.request(client.call('set'));
  expect(codeOf(outcome)).toBe('OUTCOME_UNKNOWN');
});

test('a session that is closed while it waits for room starts no server', async () => {
  using world = new World({ sessions: { max: 1 } });
  const client = new FakeClient();
  const [a, b] = [world.session('a'), world.session('b')];
  await a.request(client.call('x'));
  const leaving = gate();
  world.connection().leaving = leaving.wait;
  const outcome = b.request(client.call('x')).catch(() => {});
  await new Promise(setImmediate);
  await world.manager.close(b, 'was stopped by the test');
  leaving.open();
  await outcome;
  await world.manager.stop('was stopped with the proxy');
  expect(world.running).toEqual([]);
});

test('the limit holds also for sessions that come at once', async () => {
  using world = new World({ sessions: { max: 1 }, manners: slow });
  const client = new FakeClient();
  const [a, b, c] = [world.session('a'), world.session('b'), world.session('c')];
  const first = a.request(client.call('x'));
  const server = await world.started();
  server.answer(await server.request(), text('done'));
  await first;
  const outcomes = [b.request(client.call('x')), c.request(client.call('x'))];
  const second = await world.started(2);
  await second.request();
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
  expect(world.running.length).toBe(1);
  for (const one of world.running) one.die();
  await Promise.all(outcomes);
});

test('calls made while the server starts reach it in their order', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  const names = ['first', 'second', 'third', 'fourth'];
  await Promise.all(names.map((name) => session.request(client.call(name))));
  expect(
    world
      .connection()
      .requests('tools/call')
      .map(({ params }) => params?.name),
  ).toEqual(names);
});

test('a call that a dying server did not take goes to the next one', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('x'));
  const dying = world.connection();
  const taken = dying.sent.length;
  dying.send = () =>
    Promise.reject(
      new ProxyError('SERVER_UNAVAILABLE', 'Its pipe is closed.', { details: { unsent: true } }),
    );
  expect(said(await session.request(client.call('y')))).toContain('2 y');
  expect([dying.sent.length, world.starts]).toEqual([taken, 2]);
});
