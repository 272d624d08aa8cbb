import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { isRequest, type Fields, type Message, type Request } from '../../src/protocol/messages.js';
import { slow, text, type FakeConnection } from '../support/fake-server.js';
import { codeOf, FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

/** The request for that tool, as soon as the server has it. */
async function requestFor(server: FakeConnection, tool: string): Promise<Request> {
  const fits = (message: Message) => isRequest(message) && message.params?.name === tool;
  return (await server.message(fits)) as Request;
}

const tokenOf = ({ params }: Request) => (params?._meta as Fields | undefined)?.progressToken as number;

test('every request has an id of its own on the wire, and its answer finds the way back', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const client = new FakeClient();
  const outcomes = ['a', 'b', 'c'].map((name) => session.request(client.call(name)));
  const server = await world.started();
  const requests = await Promise.all([1, 2, 3].map((number) => server.request('tools/call', number)));
  expect(new Set(requests.map(({ id }) => id)).size).toBe(3);
  // Answered in another order than asked.
  for (const request of requests.toReversed())
    server.answer(request, text(`to ${String(request.params?.name)}`));
  expect((await Promise.all(outcomes)).map(said)).toEqual(['to a', 'to b', 'to c']);
});

test('params and results pass untouched, but for _meta of ours', async () => {
  using world = new World({ manners: slow });
  const params = {
    name: 'x',
    arguments: { deep: [{ a: null }], __proto__x: 1 },
    _meta: { 'vendor/key': 1 },
    future: { b: 2 },
  };
  const outcome = world.session().request(new FakeClient().exchange('tools/call', params));
  const server = await world.started();
  const request = await server.request();
  expect(request.params).toEqual(params);
  const result = {
    content: [{ type: 'image', data: 'x' }],
    structuredContent: { n: 1 },
    isError: true,
    future: 1,
    _meta: { 'v/k': 1 },
  };
  server.answer(request, result);
  expect(await outcome).toMatchObject({ result });
});

test('every tool result names its session', async () => {
  using world = new World();
  const session = world.session('work');
  expect(await session.request(new FakeClient().call('x'))).toMatchObject({
    result: {
      _meta: {
        'mcp-session-proxy/session': { id: session.id, name: 'work', state: 'active', temporary: false },
      },
    },
  });
});

test('a server’s error reaches the client as it is', async () => {
  using world = new World({ manners: slow });
  const outcome = world.session().request(new FakeClient().call('x'));
  const server = await world.started();
  const { id } = await server.request();
  const error = { code: -32042, message: 'Sign in first.', data: { url: 'https://x' } };
  server.say({ jsonrpc: '2.0', id, error });
  expect(await outcome).toEqual({ error });
});

test('two requests with one progress token hear each of its own progress', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const [one, two] = [new FakeClient(), new FakeClient()];
  const outcomes = [session.request(one.call('a', {}, 'same')), session.request(two.call('b', {}, 'same'))];
  const server = await world.started();
  const requests = await Promise.all(['a', 'b'].map((tool) => requestFor(server, tool)));
  const [first, second] = requests.map(tokenOf);
  expect(first).not.toBe(second);
  for (const [progress, progressToken] of [first, second].entries()) {
    server.say({
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: { progressToken, progress, message: 'm', _meta: { a: 1 } },
    });
  }
  for (const request of requests) server.answer(request, {});
  await Promise.all(outcomes);
  const heard = (progress: number) => [
    {
      jsonrpc: '2.0',
      method: 'notifications/progress',
      params: { progressToken: 'same', progress, message: 'm', _meta: { a: 1 } },
    },
  ];
  expect([one.heard, two.heard]).toEqual([heard(0), heard(1)]);
});

test('a request without progress token asks for none, and hears nothing of a token it never gave', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient();
  const outcome = world.session().request(client.call('x'));
  const server = await world.started();
  const request = await server.request();
  expect(request.params).not.toHaveProperty('_meta');
  const tell = (progressToken: unknown) =>
    server.say({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress: 1 } });
  for (const token of [request.id, 'x', 999_999, null, undefined]) tell(token);
  server.answer(request, {});
  await outcome;
  expect(client.heard).toEqual([]);
});

test('progress that comes after the answer is passed over', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient();
  const outcome = world.session().request(client.call('x', {}, 1));
  const server = await world.started();
  const request = await server.request();
  server.answer(request, {});
  await outcome;
  server.say({
    jsonrpc: '2.0',
    method: 'notifications/progress',
    params: { progressToken: tokenOf(request), progress: 1 },
  });
  expect(client.heard).toEqual([]);
});

test('the progress token of a task is good beyond the answer that made the task', async () => {
  using world = new World({ manners: slow });
  const client = new FakeClient();
  const outcome = world.session().request(client.call('x', {}, 'mine'));
  const server = await world.started();
  const request = await server.request();
  server.answer(request, { task: { taskId: 't1', status: 'working' } });
  await outcome;
  server.say({
    jsonrpc: '2.0',
    method: 'notifications/progress',
    params: { progressToken: tokenOf(request), progress: 1 },
  });
  expect(client.heard).toMatchObject([{ params: { progressToken: 'mine', progress: 1 } }]);
});

test('a cancelled request is cancelled at the server under the id it knows, and has no answer', async () => {
  using world = new World({ manners: slow });
  const exchange = new FakeClient().call('x');
  const outcome = world.session().request(exchange);
  const server = await world.started();
  const { id } = await server.request();
  exchange.cancel({ reason: 'changed my mind', _meta: { a: 1 } });
  await expect(outcome).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  expect(server.sentOf('notifications/cancelled')).toEqual([
    {
      jsonrpc: '2.0',
      method: 'notifications/cancelled',
      params: { reason: 'changed my mind', _meta: { a: 1 }, requestId: id },
    },
  ]);
  server.answer({ id }, text('too late'));
});

test('cancelling one of two requests under way leaves the other alone', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const client = new FakeClient();
  const exchange = client.call('a');
  const [first, second] = [session.request(exchange), session.request(client.call('b'))];
  const server = await world.started();
  const { id } = await requestFor(server, 'a');
  exchange.cancel({});
  await expect(first).rejects.toMatchObject({ code: 'CALL_CANCELLED' });
  expect(server.sentOf('notifications/cancelled').map(({ params }) => params)).toEqual([{ requestId: id }]);
  server.answer(await requestFor(server, 'b'), text('done'));
  expect(said(await second)).toBe('done');
});

test('an answer that the transport could not read fails its request alone', async () => {
  using world = new World({ manners: slow });
  const session = world.session();
  const client = new FakeClient();
  const [first, second] = [session.request(client.call('a')), session.request(client.call('b'))];
  const server = await world.started();
  const { id } = await requestFor(server, 'a');
  server.fail(id, new ProxyError('OUTCOME_UNKNOWN', 'Its answer was no JSON.'));
  server.answer(await requestFor(server, 'b'), text('fine'));
  expect([said(await second), codeOf(await first)]).toEqual(['fine', 'OUTCOME_UNKNOWN']);
});

test('answers and failures that belong to no request change nothing', async () => {
  using world = new World({ manners: slow });
  const outcome = world.session().request(new FakeClient().call('x'));
  const server = await world.started();
  const request = await server.request();
  for (const id of [999_999, 'x', String(request.id), -1]) server.answer({ id }, text('wrong'));
  server.say({ jsonrpc: '2.0', id: 999_998, error: { code: 1, message: 'wrong' } });
  server.answer(request, text('right'));
  server.answer(request, text('twice'));
  expect(said(await outcome)).toBe('right');
});
