import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { polite, slow, text } from '../support/fake-server.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

const oneAtATime = { servers: { one: { concurrency: 1 } }, manners: slow };

test('with concurrency 1 a call is sent when the one before it is answered', async () => {
  using world = new World(oneAtATime);
  const session = world.session();
  const client = new FakeClient();
  const outcomes: Promise<unknown>[] = [];
  const outcome = session.request(client.call('first'));
  const server = await world.started();
  await server.request();
  for (const name of ['second', 'third']) outcomes.push(session.request(client.call(name)).then(said));
  for (const [index, name] of ['first', 'second', 'third'].entries()) {
    const request = await server.request('tools/call', index + 1);
    expect(server.requests('tools/call')).toHaveLength(index + 1);
    expect(request.params?.name).toBe(name);
    server.answer(request, text(name));
  }
  expect([said(await outcome), ...(await Promise.all(outcomes))]).toEqual(['first', 'second', 'third']);
});

test('with concurrency 3 three calls are under way at most', async () => {
  let underWay = 0;
  let most = 0;
  using world = new World({
    servers: { one: { concurrency: 3 } },
    manners: (request, connection) => {
      if (request.method !== 'tools/call') return polite(request, connection);
      most = Math.max(most, (underWay += 1));
      setImmediate(() => {
        underWay -= 1;
        connection.answer(request, text('done'));
      });
      return undefined;
    },
  });
  const session = world.session();
  const client = new FakeClient();
  await Promise.all(Array.from({ length: 20 }, () => session.request(client.call('x'))));
  expect(most).toBe(3);
});

test('only tool calls wait for their turn', async () => {
  using world = new World(oneAtATime);
  const session = world.session();
  const client = new FakeClient();
  const call = session.request(client.call('x'));
  const server = await world.started();
  const request = await server.request();
  expect(await session.request(client.exchange('prompts/get', { name: 'p' }))).toEqual({ result: {} });
  expect(await session.request(client.exchange('resources/read', { uri: 'a:b' }))).toEqual({ result: {} });
  server.answer(request, text('done'));
  await call;
});

test('a call that is cancelled while it waits for its turn is never sent', async () => {
  using world = new World(oneAtATime);
  const session = world.session();
  const client = new FakeClient();
  const first = session.request(client.call('first'));
  const server = await world.started();
  const request = await server.request();
  const cancelled = client.call('cancelled');
  const outcomes = [session.request(cancelled), session.request(client.call('last'))] as const;
  cancelled.cancel({ reason: 'not needed' });
  server.answer(request, text('done'));
  await first;
  await expect(outcomes[0]).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  const last = await server.request('tools/call', 2);
  server.answer(last, text('done'));
  await outcomes[1];
  expect(server.requests('tools/call').map(({ params }) => params?.name)).toEqual(['first', 'last']);
  expect(server.sentOf('notifications/cancelled')).toEqual([]);
});

test('a call that is cancelled while it runs lets the next one go', async () => {
  using world = new World(oneAtATime);
  const session = world.session();
  const client = new FakeClient();
  const running = client.call('running');
  const first = session.request(running);
  const server = await world.started();
  await server.request();
  const second = session.request(client.call('next'));
  running.cancel({});
  await expect(first).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  server.answer(await server.request('tools/call', 2), text('done'));
  expect(said(await second)).toBe('done');
});

test('calls that waited for a server that died are told they were not sent', async () => {
  using world = new World({ ...oneAtATime, servers: { one: { concurrency: 1, retry: 'never' } } });
  const session = world.session();
  const client = new FakeClient();
  const running = session.request(client.call('running'));
  const server = await world.started();
  await server.request();
  const waiting = session.request(client.call('waiting'));
  await new Promise(setImmediate); // now it stands in the queue
  server.die('was ended by SIGKILL');
  expect(codeOf(await running)).toBe('OUTCOME_UNKNOWN');
  const outcome = await waiting;
  expect([codeOf(outcome), said(outcome)]).toEqual([
    'SERVER_UNAVAILABLE',
    'Server "one" was ended by SIGKILL; the request was not sent. Try again.',
  ]);
});
