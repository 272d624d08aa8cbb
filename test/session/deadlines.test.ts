import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

test('a call without answer ends after timeouts.call, is cancelled at the server and said to be of unknown effect', async () => {
  using world = new World({ manners: slow, servers: { one: { timeouts: { call: '3m' } } } });
  const outcome = world.session().request(new FakeClient().call('x'));
  const server = await world.started();
  const { id } = await server.request();
  server.words = ' Last lines of its stderr:\nstuck';
  await world.clock.advance(180_000 - 1);
  expect(server.sentOf('notifications/cancelled')).toEqual([]);
  await world.clock.advance(1);
  expect(said(await outcome)).toBe(
    'Server "one" did not answer within 3m (timeouts.call). Whether the request took effect is unknown.' +
      ' Last lines of its stderr:\nstuck',
  );
  expect(codeOf(await outcome)).toBe('CALL_TIMEOUT');
  expect(server.sentOf('notifications/cancelled').map(({ params }) => params)).toEqual([
    { reason: 'timeout', requestId: id },
  ]);
});

test('progress renews the time of a call, also when its client did not ask for it', async () => {
  using world = new World({ manners: slow, servers: { one: { timeouts: { call: '1m' } } } });
  const session = world.session();
  const outcomes = [undefined, 5].map((token) => session.request(new FakeClient().call('x', {}, token)));
  const server = await world.started();
  const requests = await Promise.all([1, 2].map((number) => server.request('tools/call', number)));
  for (let minute = 0; minute < 5; minute++) {
    await world.clock.advance(59_000);
    for (const { id } of requests)
      server.say({
        jsonrpc: '2.0',
        method: 'notifications/progress',
        params: { progressToken: id, progress: minute },
      });
  }
  await world.clock.advance(59_000);
  for (const request of requests) server.answer(request, text('done'));
  expect((await Promise.all(outcomes)).map(said)).toEqual(['done', 'done']);
});

test('progress renews a call twenty times its limit and no longer', async () => {
  using world = new World({ manners: slow, servers: { one: { timeouts: { call: '1m' } } } });
  const outcome = world.session().request(new FakeClient().call('x', {}, 5));
  const server = await world.started();
  const { id } = await server.request();
  let ended = false;
  void outcome.then(() => (ended = true));
  let minutes = 0;
  for (; !ended && minutes < 100; minutes += 0.5) {
    server.say({
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: { progressToken: id, progress: minutes },
    });
    await world.clock.advance(30_000);
  }
  expect(minutes).toBe(20);
  expect(codeOf(await outcome)).toBe('CALL_TIMEOUT');
});
