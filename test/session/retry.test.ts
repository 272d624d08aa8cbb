import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { polite, text, type Manners } from '../support/fake-server.js';
import { codeOf, FakeClient, lostIn, said, World } from '../support/world.js';

setLogLevel('silent');

/** The first process dies under its first tool call; `get` says that it only reads. */
const mortal: Manners = (request, connection) => {
  if (request.method === 'tools/list') {
    return { tools: [{ name: 'get', annotations: { readOnlyHint: true } }, { name: 'set' }] };
  }
  if (request.method !== 'tools/call' || connection.number > 1) return polite(request, connection);
  queueMicrotask(() => connection.die('exited with code 3'));
  return undefined;
};

const UNKNOWN =
  'Server "one" exited with code 3 while the request was with it: the outcome is unknown. ' +
  'Look before you repeat it.';

test('a read-only call is sent again after its server died, and the loss is told', async () => {
  using world = new World({ manners: mortal });
  const session = world.session();
  const outcome = await session.request(new FakeClient().call('get'));
  expect(said(outcome)).toMatch(/^\[mcp-session-proxy\] Server "one" exited with code 3 and .*\n2 get$/s);
  expect(lostIn(outcome)).toEqual([{ server: 'one', reason: 'exited with code 3' }]);
  expect([world.starts, session.state]).toEqual([2, 'active']);
});

test('a list that was read before spares asking for it again', async () => {
  using world = new World({ manners: mortal });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.exchange('tools/list', {}));
  await session.request(client.call('get'));
  expect(world.connection(2).requests('tools/list')).toEqual([]);
});

test('any other call is not repeated: its outcome is unknown, and the next one is told of the loss', async () => {
  using world = new World({ manners: mortal });
  const session = world.session();
  const client = new FakeClient();
  const outcome = await session.request(client.call('set'));
  expect([codeOf(outcome), said(outcome)]).toEqual(['OUTCOME_UNKNOWN', UNKNOWN]);
  expect(world.connections.flatMap((server) => server.requests('tools/call'))).toHaveLength(1);
  expect(lostIn(await session.request(client.call('set')))).toEqual([
    { server: 'one', reason: 'exited with code 3' },
  ]);
});

test('with retry never a read-only call is not repeated either', async () => {
  using world = new World({ manners: mortal, servers: { one: { retry: 'never' } } });
  const outcome = await world.session().request(new FakeClient().call('get'));
  expect([codeOf(outcome), said(outcome)]).toEqual(['OUTCOME_UNKNOWN', UNKNOWN]);
  expect(world.starts).toBe(1);
});

test('a call is repeated once, not again and again', async () => {
  using world = new World({
    manners: (request, connection) =>
      request.method === 'tools/call'
        ? void queueMicrotask(() => connection.die('exited with code 3'))
        : mortal(request, connection),
  });
  const outcome = await world.session().request(new FakeClient().call('get'));
  expect(codeOf(outcome)).toBe('OUTCOME_UNKNOWN');
  expect(world.connections.flatMap((server) => server.requests('tools/call'))).toHaveLength(2);
});

test('a cancelled call is not repeated', async () => {
  using world = new World({
    manners: (request, connection) =>
      request.method === 'tools/call' ? undefined : mortal(request, connection),
  });
  const exchange = new FakeClient().call('get');
  const outcome = world.session().request(exchange);
  const server = await world.started();
  await server.request();
  exchange.cancel({});
  server.die();
  await expect(outcome).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  expect(world.starts).toBe(1);
});

test('what the server said last stands in the outcome', async () => {
  using world = new World({
    manners: (request, connection) => {
      connection.words = ' It exited with code 3. Last lines of its stderr:\nout of memory';
      return mortal(request, connection);
    },
  });
  const outcome = await world.session().request(new FakeClient().call('set'));
  expect(said(outcome)).toBe(`${UNKNOWN} It exited with code 3. Last lines of its stderr:\nout of memory`);
});

test('a server that dies between calls is started anew for the next one', async () => {
  using world = new World();
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('set'));
  world.connection().die('was ended by SIGSEGV');
  const outcome = await session.request(client.call('set'));
  expect(said(outcome)).toMatch(/\n2 set$/);
  expect(lostIn(outcome)).toEqual([{ server: 'one', reason: 'was ended by SIGSEGV' }]);
});

test('with several servers only the one that died is started anew, and only its calls are told', async () => {
  using world = new World({ servers: { one: {}, two: {} } });
  const session = world.session();
  const client = new FakeClient();
  await session.request(client.call('one__x'));
  await session.request(client.call('two__x'));
  world.of('one')[0]?.die();
  const other = await session.request(client.call('two__x'));
  expect([said(other), lostIn(other)]).toEqual(['1 x', undefined]);
  expect(lostIn(await session.request(client.call('one__x')))).toEqual([
    { server: 'one', reason: 'exited with code 1' },
  ]);
  expect([world.of('one').length, world.of('two').length]).toEqual([2, 1]);
});

test('a server that dies while it holds many calls ends them all', async () => {
  using world = new World({ manners: () => undefined });
  const session = world.session();
  const client = new FakeClient();
  const outcomes = Array.from({ length: 20 }, () =>
    session.request(client.exchange('prompts/get', { name: 'p' })),
  );
  const server = await world.started();
  await server.request('prompts/get', 20);
  server.die();
  const codes = (await Promise.all(outcomes)).map(codeOf);
  expect(new Set(codes)).toEqual(new Set(['OUTCOME_UNKNOWN']));
  // Its late words are nobody's.
  server.answer(server.requests('prompts/get')[0] ?? { id: 0 }, text('late'));
});
