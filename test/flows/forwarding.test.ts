import { expect, test } from 'vitest';
import { collect, eventsOf, RawClient, textOf, type Received } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import type { Fields } from '../../src/protocol/messages.js';

const everything = { roots: {}, sampling: {}, elicitation: { form: {}, url: {} } };

async function start(folder: TemporaryFolder, servers: Fields = { talkative: local('talkative') }) {
  return ProxyProcess.start(folder, { servers });
}

/** Calls a tool, answers what the server asks meanwhile, and gives all messages of the call's stream. */
async function converse(
  client: RawClient,
  params: Fields,
  answer: (request: Received) => Fields,
): Promise<Received[]> {
  const response = await client.post({ jsonrpc: '2.0', id: 'call', method: 'tools/call', params });
  const messages: Received[] = [];
  for await (const { message } of eventsOf(response)) {
    if (!message) continue;
    messages.push(message);
    if (message.method && message.id !== undefined) {
      await client.post({ jsonrpc: '2.0', id: message.id, ...answer(message) });
    }
  }
  return messages;
}

test('with one server, names, fields nobody has heard of, capabilities and instructions pass unaltered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = new RawClient(proxy.url);
  const { result } = await client.initialize(everything);
  expect(result).toMatchObject({
    protocolVersion: '2025-11-25',
    serverInfo: { name: 'talkative' },
    instructions: 'Talk to me.',
    capabilities: {
      tasks: { list: {} },
      experimental: { seen: { capabilities: everything, clientInfo: { name: 'raw' } } },
    },
  });
  const list = await client.request('tools/list');
  expect(list.result?.tools).toContainEqual({
    name: 'roots',
    inputSchema: { type: 'object' },
    'x-unknown': 'roots',
  });
  expect((await client.request('x/unheard-of', { deep: [1, { a: null }] })).result).toEqual({
    echoed: { deep: [1, { a: null }] },
  });
  expect((await client.request('x/nowhere')).error).toEqual({ code: -32601, message: 'no method x/nowhere' });
  expect((await client.call('nope')).error).toEqual({
    code: -32602,
    message: 'no tool nope',
    data: { name: 'nope' },
  });
});

test.each([
  ['roots', { roots: [{ uri: 'file:///here', name: 'here' }] }],
  ['sample', { role: 'assistant', content: { type: 'text', text: 'hi' }, model: 'm' }],
  ['elicit', { action: 'accept', content: { name: 'Ada' } }],
  ['elicitUrl', { action: 'decline' }],
])(
  'P8 what the tool "%s" asks comes on the stream of its call, and the answer finds the way back',
  async (name, answer) => {
    using folder = new TemporaryFolder();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url, everything);
    const messages = await converse(client, { name, arguments: { prompt: 'hello' } }, () => ({
      result: answer,
    }));
    expect(messages).toHaveLength(2);
    expect(JSON.parse(textOf(messages[1] ?? {}))).toEqual(answer);
  },
);

test('an error the client answers with reaches the server as that error', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url, everything);
  const messages = await converse(client, { name: 'sample', arguments: {} }, () => ({
    error: { code: -1, message: 'user said no' },
  }));
  expect(messages[1]?.error).toMatchObject({ code: -1, message: 'user said no' });
});

test('a client is not asked for what it did not declare', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url, {});
  expect((await client.call('sample')).error).toMatchObject({ code: -32601 });
});

test('progress comes on the stream of its call under the token the client chose', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const params = { name: 'progress', arguments: {}, _meta: { progressToken: 'mine' } };
  const messages = await converse(client, params, () => ({}));
  expect(messages.map(({ method, params: told }) => [method, told?.progressToken, told?.progress])).toEqual([
    ['notifications/progress', 'mine', 1],
    ['notifications/progress', 'mine', 2],
    ['notifications/progress', 'mine', 3],
    [undefined, undefined, undefined],
  ]);
});

test('a log level is told to the server, and its log messages come back', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  expect((await client.request('logging/setLevel', { level: 'debug' })).result).toEqual({});
  const messages = await converse(client, { name: 'log' }, () => ({}));
  expect(messages[0]).toMatchObject({ method: 'notifications/message', params: { data: 'hello' } });
  expect(textOf(messages[1] ?? {})).toBe('level debug');
});

test('what a client cancels is cancelled at the server and gets no response', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const response = await client.post({
    jsonrpc: '2.0',
    id: 'w',
    method: 'tools/call',
    params: { name: 'wait' },
  });
  await client.post({
    jsonrpc: '2.0',
    method: 'notifications/cancelled',
    params: { requestId: 'w', reason: 'bored' },
  });
  expect((await collect(eventsOf(response))).filter(({ message }) => message)).toEqual([]);
  expect(await client.text('cancelled')).toBe('1');
});

test('notices that belong to no call come on the stream of the client, also when it opens it later', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  await client.request('resources/subscribe', { uri: 'memo://one' });
  await client.call('touch', { uri: 'memo://one' });
  await client.call('grow');
  const stream = eventsOf(await client.stream());
  const next = async () => {
    for (;;) {
      const { value } = await stream.next();
      if (value?.message) return value.message;
    }
  };
  expect(await next()).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri: 'memo://one' },
  });
  expect(await next()).toMatchObject({ method: 'notifications/tools/list_changed' });
  await client.delete();
});

test('tasks of 2025-11-25 pass, and their progress goes on after the call was answered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const created = await client.request('tools/call', {
    name: 'longTask',
    task: { ttl: 60_000 },
    _meta: { progressToken: 5 },
  });
  const { taskId } = created.result?.task as { taskId: string };
  expect(await client.text('finishTask')).toBe('finished');
  const seen: Received[] = [];
  const stream = await client.stream();
  for await (const { message } of eventsOf(stream)) {
    if (message) seen.push(message);
    if (seen.length === 2) break;
  }
  expect(seen).toMatchObject([
    { method: 'notifications/progress', params: { progressToken: 5 } },
    { method: 'notifications/tasks/status', params: { taskId, status: 'completed' } },
  ]);
  expect((await client.request('tasks/get', { taskId })).result).toMatchObject({ status: 'completed' });
  expect(textOf(await client.request('tasks/result', { taskId }))).toBe(`result of ${taskId}`);
  expect((await client.request('tasks/list')).result?.tasks).toHaveLength(1);
  expect((await client.request('tasks/cancel', { taskId })).result).toMatchObject({ status: 'cancelled' });
});

test('resources, prompts and completion pass', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  expect((await client.request('resources/templates/list')).result).toMatchObject({
    resourceTemplates: [{ name: 'memo' }],
  });
  expect((await client.request('resources/read', { uri: 'memo://x' })).result?.contents).toMatchObject([
    { text: 'talkative memo://x' },
  ]);
  expect((await client.request('prompts/get', { name: 'greet' })).result?.messages).toHaveLength(1);
  const ref = { type: 'ref/prompt', name: 'greet' };
  const completed = await client.request('completion/complete', { ref, argument: { name: 'a', value: '' } });
  expect(completed.result).toEqual({ completion: { values: ['greet'] } });
});

test('F14 with several servers tools and prompts carry the name of theirs, and all requests find it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder, { counter: local('counter'), talk: local('talkative') });
  const client = new RawClient(proxy.url);
  const { result } = await client.initialize();
  expect(result).toMatchObject({ serverInfo: { name: 'mcp-session-proxy' }, instructions: 'Talk to me.' });
  const { tools } = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(tools.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['counter__increment', 'talk__roots']),
  );
  expect(await client.text('counter__increment')).toBe('1');
  expect((await client.call('increment')).error).toMatchObject({
    code: -32602,
    message: 'No tool "increment" is offered here. tools/list names those that are.',
  });
  expect((await client.request('prompts/list')).result).toEqual({ prompts: [{ name: 'talk__greet' }] });
  expect((await client.request('prompts/get', { name: 'talk__greet' })).result).toMatchObject({
    messages: [{ content: { text: 'prompt greet' } }],
  });
  await client.request('resources/list');
  expect((await client.request('resources/read', { uri: 'memo://one' })).result).toMatchObject({
    contents: [{ text: 'talkative memo://one' }],
  });
  const ref = { type: 'ref/prompt', name: 'talk__greet' };
  expect(
    (await client.request('completion/complete', { ref, argument: { name: 'a', value: '' } })).result,
  ).toEqual({
    completion: { values: ['greet'] },
  });
  expect((await client.request('x/unheard-of', { a: 1 })).result).toEqual({ echoed: { a: 1 } });
});

test('G16 tools that the config leaves out are neither listed nor callable', async () => {
  using folder = new TemporaryFolder();
  const tools = { include: ['inc*', 'get', 'pid'], exclude: ['pid'] };
  await using proxy = await start(folder, { counter: local('counter', { tools }) });
  const client = await RawClient.open(proxy.url);
  const list = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(list.tools.map(({ name }) => name)).toEqual(['increment', 'get']);
  expect((await client.call('pid')).error).toMatchObject({ code: -32602 });
});

test('one server that cannot start does not take the others with it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder, {
    counter: local('counter'),
    broken: { command: 'no-such-program' },
  });
  const client = await RawClient.open(proxy.url);
  const list = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(list.tools.map(({ name }) => name)).toContain('counter__get');
  const failed = await client.call('broken__anything');
  expect(failed.result?.isError).toBe(true);
  expect(textOf(failed)).toBe(
    'Server "broken" cannot be started: the command "no-such-program" was not found. Check servers.broken.command and cwd.',
  );
});

test('a subscription and the log level are told again to a server that was started anew', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { counter: local('counter'), talk: local('talkative') },
  });
  const client = await RawClient.open(proxy.url);
  await client.request('resources/list');
  await client.request('resources/subscribe', { uri: 'memo://one' });
  await client.request('logging/setLevel', { level: 'error' });
  await proxy.kill();
  await using second = await ProxyProcess.start(folder, {
    servers: { counter: local('counter'), talk: local('talkative') },
  });
  const again = new RawClient(second.url, client.session);
  expect(await again.text('talk__log')).toContain('level error');
  await again.call('talk__touch', { uri: 'memo://one' });
  const stream = eventsOf(await again.stream());
  let updated = false;
  await until(async () => {
    const { value } = await stream.next();
    updated ||= value?.message?.method === 'notifications/resources/updated';
    return updated;
  });
  await again.delete();
});
