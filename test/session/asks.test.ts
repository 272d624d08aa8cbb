import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import type { Fields, Id, Message } from '../../src/protocol/messages.js';
import { slow, text, type FakeConnection } from '../support/fake-server.js';
import { FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

/** The server's request, and the answer it gets. */
async function ask(
  server: FakeConnection,
  id: Id,
  method: string,
  params?: Fields,
  cause?: Id,
): Promise<Message> {
  server.say({ jsonrpc: '2.0', id, method, ...(params ? { params } : {}) }, cause);
  return server.message((message) => !('method' in message) && message.id === id);
}

async function callUnderWay(world: World, client: FakeClient) {
  const outcome = world.session().request(client.call('x'));
  const server = await world.started();
  return { outcome, server, request: await server.request() };
}

const cannot = (id: Id, method: string) => ({
  jsonrpc: '2.0',
  id,
  error: { code: -32601, message: `The client of this session cannot answer ${method}.` },
});

test('ping is answered for the client, whether one is there or not', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient();
  const { server, request, outcome } = await callUnderWay(world, client);
  expect(await ask(server, 'p1', 'ping')).toEqual({ jsonrpc: '2.0', id: 'p1', result: {} });
  server.answer(request, {});
  await outcome;
  expect(await ask(server, 'p2', 'ping')).toEqual({ jsonrpc: '2.0', id: 'p2', result: {} });
  expect(client.asked).toEqual([]);
});

test('what a server asks during a call is asked of that call’s client, and the answer goes back', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ elicitation: {} });
  const { server, request, outcome } = await callUnderWay(world, client);
  const params = { message: 'Which one?', requestedSchema: { type: 'object' }, _meta: { a: 1 } };
  const answer = ask(server, 7, 'elicitation/create', params);
  await client.wasAsked();
  expect(client.asked[0]).toMatchObject({ method: 'elicitation/create', params });
  client.asked[0]?.answer({ result: { action: 'accept', content: { n: 1 } } });
  expect(await answer).toEqual({ jsonrpc: '2.0', id: 7, result: { action: 'accept', content: { n: 1 } } });
  server.answer(request, text('done'));
  expect(said(await outcome)).toBe('done');
});

test('a client’s error goes back as it is', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ sampling: {} });
  const { server } = await callUnderWay(world, client);
  const answer = ask(server, 'q', 'sampling/createMessage', { messages: [] });
  await client.wasAsked();
  const error = { code: -1, message: 'User rejected it.', data: { by: 'user' } };
  client.asked[0]?.answer({ error });
  expect(await answer).toEqual({ jsonrpc: '2.0', id: 'q', error });
});

test.each(['sampling/createMessage', 'elicitation/create', 'roots/list'])(
  'a client that does not declare what %s needs is not asked',
  async (method) => {
    using world = new World({ manners: slow });
    const client = new FakeClient();
    const { server } = await callUnderWay(world, client);
    expect(await ask(server, 1, method, {})).toEqual(cannot(1, method));
    expect(client.asked).toEqual([]);
  },
);

test('a method that nobody has heard of is asked of the client of the newest call', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient();
  const { server } = await callUnderWay(world, client);
  const answer = ask(server, 1, 'future/ask', { a: 1 });
  await client.wasAsked();
  client.asked[0]?.answer({ result: { b: 2 } });
  expect(await answer).toEqual({ jsonrpc: '2.0', id: 1, result: { b: 2 } });
});

test('where the wire does not tell, the newest call whose client can answer is asked', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const [old, able, newest] = [
    new FakeClient({ elicitation: {} }),
    new FakeClient({ elicitation: {} }),
    new FakeClient({ sampling: {} }),
  ];
  void session.request(old.call('old'));
  const server = await world.started();
  await server.request();
  for (const [index, client] of [able, newest].entries()) {
    void session.request(client.call('x'));
    await server.request('tools/call', index + 2);
  }
  server.say({ jsonrpc: '2.0', id: 1, method: 'elicitation/create', params: {} });
  await able.wasAsked();
  expect([old.asked.length, newest.asked.length]).toEqual([0, 0]);
});

test('where the wire tells whose stream it is, that call’s client is asked and no other', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const [first, second] = [new FakeClient({ elicitation: {} }), new FakeClient({ elicitation: {} })];
  void session.request(first.call('first'));
  const server = await world.started();
  const { id } = await server.request();
  void session.request(second.call('second'));
  await server.request('tools/call', 2);
  server.say({ jsonrpc: '2.0', id: 1, method: 'elicitation/create', params: {} }, id);
  await first.wasAsked();
  expect(second.asked).toEqual([]);
});

test('two questions with one id of two servers get each its own answer', async () => {
  using world = new World({ manners: slow, servers: { one: {}, two: {} } });
  const session = world.session();
  const client = new FakeClient({ sampling: {} });
  void session.request(client.call('one__x'));
  void session.request(client.call('two__x'));
  await world.started(2);
  const servers = [...world.connections];
  for (const server of servers) await server.request();
  const answers = servers.map((server) =>
    ask(server, 0, 'sampling/createMessage', { from: server.config.name }),
  );
  await client.wasAsked(2);
  for (const asked of client.asked) asked.answer({ result: { to: asked.params?.from } });
  expect(await Promise.all(answers)).toEqual(
    servers.map((server) => ({ jsonrpc: '2.0', id: 0, result: { to: server.config.name } })),
  );
});

test('a client that declares roots and never lists them stalls nothing: the list is empty after three seconds', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ roots: {} });
  const { server, request, outcome } = await callUnderWay(world, client);
  const answer = ask(server, 'r', 'roots/list');
  await client.wasAsked();
  await world.clock.advance(3000);
  expect(await answer).toEqual({ jsonrpc: '2.0', id: 'r', result: { roots: [] } });
  expect(client.asked[0]?.cancelled).toEqual({ reason: 'timeout' });
  server.answer(request, text('done'));
  expect(said(await outcome)).toBe('done');
});

test('a question that nobody answers is refused after ten minutes', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ elicitation: {} });
  const { server } = await callUnderWay(world, client);
  const answer = ask(server, 'q', 'elicitation/create', {});
  await client.wasAsked();
  await world.clock.advance(10 * 60_000);
  expect(await answer).toEqual({
    jsonrpc: '2.0',
    id: 'q',
    error: { code: -32603, message: 'The client did not answer within 10m.' },
  });
  // The client's late answer is not sent to a server that has given up.
  client.asked[0]?.answer({ result: {} });
  await ask(server, 'after', 'ping');
  expect(server.sent.filter((message) => !('method' in message) && message.id === 'q')).toHaveLength(1);
});

test('while a client thinks, the time of its call stands still, and begins anew with the answer', async () => {
  using world = new World({ manners: slow, servers: { one: { timeouts: { call: '1m' } } } });
  const client = new FakeClient({ elicitation: {} });
  const { server, request, outcome } = await callUnderWay(world, client);
  await world.clock.advance(50_000);
  const answer = ask(server, 'q', 'elicitation/create', {});
  await client.wasAsked();
  await world.clock.advance(5 * 60_000);
  client.asked[0]?.answer({ result: { action: 'accept' } });
  await answer;
  await world.clock.advance(50_000);
  server.answer(request, text('done'));
  expect(said(await outcome)).toBe('done');
});

test('a server that takes its question back is heard by the client', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ sampling: {} });
  const { server } = await callUnderWay(world, client);
  server.say({ jsonrpc: '2.0', id: 'q', method: 'sampling/createMessage', params: {} });
  await client.wasAsked();
  const params = { requestId: 'q', reason: 'found it myself', _meta: { a: 1 } };
  server.say({ jsonrpc: '2.0', method: 'notifications/cancelled', params });
  expect(client.asked[0]?.cancelled).toEqual({ reason: 'found it myself', _meta: { a: 1 } });
  server.say({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'unknown' } });
});

test('what a server asked before it died is taken back', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ sampling: {} });
  const { server, outcome } = await callUnderWay(world, client);
  server.say({ jsonrpc: '2.0', id: 'q', method: 'sampling/createMessage', params: {} });
  await client.wasAsked();
  server.die();
  await outcome;
  expect(client.asked[0]?.cancelled).toMatchObject({
    reason: expect.stringContaining('exited with code 1') as string,
  });
});

test('a client’s progress on a question reaches the server', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ sampling: {} });
  const { server } = await callUnderWay(world, client);
  server.say({
    jsonrpc: '2.0',
    id: 'q',
    method: 'sampling/createMessage',
    params: { _meta: { progressToken: 'theirs' } },
  });
  await client.wasAsked();
  client.asked[0]?.progress({ progressToken: 'theirs', progress: 1 });
  expect(server.sentOf('notifications/progress')).toEqual([
    { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 'theirs', progress: 1 } },
  ]);
});

test('without a call the last attached client that can answer is asked', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const { server, request, outcome } = await (async () => {
    const ended = session.request(new FakeClient().call('x'));
    const started = await world.started();
    return { outcome: ended, server: started, request: await started.request() };
  })();
  server.answer(request, {});
  await outcome;
  expect(await ask(server, 1, 'roots/list')).toEqual(cannot(1, 'roots/list'));
  const [able, unable] = [new FakeClient({ roots: {} }), new FakeClient()];
  for (const client of [able, unable]) {
    const { attachment } = world.attachments.attach(session, client.client, false);
    attachment.outlet = client;
  }
  const answer = ask(server, 2, 'roots/list');
  await able.wasAsked();
  able.asked[0]?.answer({ result: { roots: [{ uri: 'file:///a' }] } });
  expect(await answer).toMatchObject({ result: { roots: [{ uri: 'file:///a' }] } });
});

test('a cancelled call takes its questions along: the client need not answer, and the server does not wait', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient({ elicitation: {} });
  const exchange = client.call('x');
  const outcome = world.session().request(exchange);
  const server = await world.started();
  await server.request();
  const answer = ask(server, 'q', 'elicitation/create', { message: 'Which one?' });
  await client.wasAsked();
  exchange.cancel({ reason: 'gone' });
  await expect(outcome).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  expect(await answer).toMatchObject({ id: 'q', error: { code: -32603 } });
  expect(client.asked[0]?.cancelled).toEqual({ reason: 'gone' });
});
