import { describe, expect, test } from 'vitest';
import type { Fields } from '../../src/protocol/messages.js';
import { RawClient, textOf, type Received } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { StdioProxy } from '../support/stdio-proxy.js';

const counter = { counter: local('counter') };
const talk = { talk: local('talkative') };
const person = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
const name = { action: 'accept', content: { name: 'Ada' } };

interface Questions {
  resultType: string;
  inputRequests: Record<string, { method: string; params?: Fields }>;
  requestState: string;
}

const asked = ({ result }: Received) => result as unknown as Questions;
const answers = (questions: Questions, response: Fields) => ({
  requestState: questions.requestState,
  inputResponses: Object.fromEntries(Object.keys(questions.inputRequests).map((key) => [key, response])),
});

describe('sessions', () => {
  test('P4 a client of 2026-07-28 that sends no hint keeps its state from call to call', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const results = [];
    for (let i = 0; i < 3; i++) results.push(await new ModernClient(proxy.url).call('increment'));
    expect(results.map(textOf)).toEqual(['1', '2', '3']);
    expect(results[0]?.result).toMatchObject({
      resultType: 'complete',
      _meta: { 'mcp-session-proxy/session': { name: 'default', temporary: false } },
    });
  });

  test('an address keeps two such clients apart, and leads a legacy client to the same server', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const [one, other] = ['one', 'other'].map((session) => new ModernClient(`${proxy.url}/s/${session}`));
    expect(textOf((await one?.call('increment')) ?? {})).toBe('1');
    expect(textOf((await one?.call('increment')) ?? {})).toBe('2');
    expect(textOf((await other?.call('increment')) ?? {})).toBe('1');
    const legacy = new RawClient(`${proxy.url}/s/one`);
    await legacy.initialize();
    expect(await legacy.text('get')).toBe('2');
    const header = new ModernClient(proxy.url);
    const { result } = await header.request('tools/call', { name: 'get' }, { 'X-MCP-Session': 'other' });
    expect(textOf({ result: result ?? {} })).toBe('1');
  });

  test('F1 with unidentified: new each call has a session for itself, and no process stays', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: counter,
      sessions: { unidentified: 'new' },
    });
    const client = new ModernClient(proxy.url);
    const [first, second] = await Promise.all([client.call('pid'), client.call('pid')]);
    const pids = [first, second].map((result) => Number(textOf(result)));
    expect(new Set(pids).size).toBe(2);
    expect(first.result?._meta).toMatchObject({ 'mcp-session-proxy/session': { temporary: true } });
    await until(() => pids.every((pid) => !isAlive(pid)));
    expect((await client.request('tools/list')).result?.tools).toHaveLength(5);
  });

  test('with unidentified: reject it is told how to name one', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: counter,
      sessions: { unidentified: 'reject' },
    });
    const { error } = await new ModernClient(proxy.url).call('get');
    expect(error).toMatchObject({ code: -32600, data: { code: 'SESSION_REQUIRED' } });
  });
});

describe('what a request says of itself', () => {
  test('server/discover tells revision, capabilities and who serves', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const { result } = await new ModernClient(proxy.url).request('server/discover');
    expect(result).toMatchObject({
      supportedVersions: ['2026-07-28'],
      capabilities: { tools: { listChanged: true }, resources: { subscribe: true }, logging: {} },
      instructions: 'Talk to me.',
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'talkative' } },
    });
    expect(result?.capabilities).not.toHaveProperty('tasks');
  });

  test('lists and what is read say how long they may be kept, other results do not', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    for (const method of ['tools/list', 'prompts/list', 'resources/list', 'resources/templates/list']) {
      expect((await client.request(method)).result, method).toMatchObject({
        ttlMs: 0,
        cacheScope: 'private',
      });
    }
    expect((await client.request('resources/read', { uri: 'memo://one' })).result).toMatchObject({
      ttlMs: 0,
    });
    expect((await client.call('log')).result).not.toHaveProperty('ttlMs');
  });

  test('a header that differs from the body, or is missing, is refused before anything is carried out', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const client = new ModernClient(proxy.url);
    const wrong: Fields[] = [
      { 'Mcp-Method': 'tools/list' },
      { 'Mcp-Method': undefined },
      { 'Mcp-Name': 'get' },
      { 'Mcp-Name': undefined },
      { 'Mcp-Name': '=?base64?aW5jcmVtZW5?=' },
      { 'MCP-Protocol-Version': '2025-11-25' },
      { 'MCP-Protocol-Version': undefined },
    ];
    for (const headers of wrong) {
      const response = await client.post('tools/call', { name: 'increment' }, headers);
      expect(response.status, JSON.stringify(headers)).toBe(400);
      expect(await response.json()).toMatchObject({ id: 1, error: { code: -32020 } });
    }
    const encoded = await client.request(
      'tools/call',
      { name: 'increment' },
      { 'Mcp-Name': '=?base64?aW5jcmVtZW50?=' },
    );
    expect(textOf(encoded)).toBe('1');
  });

  test('an envelope that lacks something, and a revision unknown here, are told as such', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const raw = new RawClient(proxy.url);
    const headers = { 'MCP-Protocol-Version': '2026-07-28', 'Mcp-Method': 'tools/list' };
    const none = await raw.post({ jsonrpc: '2.0', id: 7, method: 'tools/list', params: {} }, headers);
    expect(none.status).toBe(400);
    expect(await none.json()).toMatchObject({ id: 7, error: { code: -32602 } });
    const client = new ModernClient(proxy.url);
    const future = { _meta: { 'io.modelcontextprotocol/protocolVersion': '2099-01-01' } };
    const unknown = await client.post('tools/list', future, { 'MCP-Protocol-Version': '2099-01-01' });
    expect(unknown.status).toBe(400);
    expect(await unknown.json()).toMatchObject({
      error: { code: -32022, data: { supported: ['2026-07-28'], requested: '2099-01-01' } },
    });
  });

  test('methods that this revision does not have are not found, and neither GET nor DELETE is allowed', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const client = new ModernClient(proxy.url);
    for (const method of ['initialize', 'ping', 'logging/setLevel', 'resources/subscribe', 'x/unknown']) {
      const response = await client.post(method);
      expect(response.status, method).toBe(404);
      expect(await response.json()).toMatchObject({ error: { code: -32601 } });
    }
    for (const method of ['GET', 'DELETE']) {
      const headers = { 'MCP-Protocol-Version': '2026-07-28', Accept: 'text/event-stream' };
      expect((await fetch(proxy.url, { method, headers })).status).toBe(405);
    }
  });
});

describe('what a legacy server asks', () => {
  test.each([
    ['elicit', 'elicitation/create', name],
    [
      'sample',
      'sampling/createMessage',
      { role: 'assistant', model: 'm', content: { type: 'text', text: 'x' } },
    ],
    ['roots', 'roots/list', { roots: [{ uri: 'file:///r' }] }],
    ['elicitUrl', 'elicitation/create', { action: 'accept' }],
  ])(
    'in the tool %s becomes an input request, and the call goes on with the answer',
    async (tool, method, answer) => {
      using folder = new TemporaryFolder();
      await using proxy = await ProxyProcess.start(folder, { servers: talk });
      const client = new ModernClient(proxy.url);
      client.capabilities = person;
      const first = asked(await client.call(tool, { prompt: 'p' }));
      expect(first.resultType).toBe('input_required');
      expect(Object.values(first.inputRequests)).toMatchObject([{ method }]);
      const done = await client.call(tool, { prompt: 'p' }, answers(first, answer));
      expect(JSON.parse(textOf(done))).toEqual(answer);
      expect(done.result).toMatchObject({ resultType: 'complete' });
    },
  );

  test('an answer that is missing or no object is asked for again, and unknown ones are ignored', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    client.capabilities = person;
    let questions = asked(await client.call('elicit'));
    for (const inputResponses of [{}, { nobody: name }, { input_1: 5 }]) {
      const { requestState } = questions;
      questions = asked(await client.call('elicit', {}, { requestState, inputResponses }));
      expect(questions.resultType).toBe('input_required');
      expect(Object.keys(questions.inputRequests)).toEqual(['input_1']);
    }
    const inputResponses = { input_1: name, nobody: name };
    const done = await client.call('elicit', {}, { requestState: questions.requestState, inputResponses });
    expect(JSON.parse(textOf(done))).toEqual(name);
  });

  test('a requestState is good once, for the same request in the same session, and never altered', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(`${proxy.url}/s/mine`);
    client.capabilities = person;
    const questions = asked(await client.call('elicit', { a: 1 }));
    const retry = answers(questions, name);
    const other = new ModernClient(`${proxy.url}/s/other`);
    other.capabilities = person;
    const refused = [
      await other.call('elicit', { a: 1 }, retry),
      await client.call('elicit', { a: 2 }, retry),
      await client.call('sample', { a: 1 }, retry),
      await client.call('elicit', { a: 1 }, { ...retry, requestState: `${questions.requestState}x` }),
      await client.call('elicit', { a: 1 }, { ...retry, inputResponses: 5 }),
    ];
    expect(refused.map(({ error }) => error?.code)).toEqual(refused.map(() => -32602));
    expect(JSON.parse(textOf(await client.call('elicit', { a: 1 }, retry)))).toEqual(name);
    expect((await client.call('elicit', { a: 1 }, retry)).error?.code).toBe(-32602);
  });

  test('a call whose client is away does not hold up the end of the proxy', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    client.capabilities = person;
    expect(asked(await client.call('elicit')).resultType).toBe('input_required');
    const begun = Date.now();
    await proxy.stop();
    expect(Date.now() - begun).toBeLessThan(9000); // the drain alone would wait for ten seconds
  });

  test('a call that needs what its client did not declare is refused, and the server is told', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    const response = await client.post('tools/call', { name: 'sample', arguments: { prompt: 'p' } });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { code: -32021, data: { requiredCapabilities: { sampling: {} } } },
    });
    expect(textOf(await client.call('cancelled'))).toBe('1');
  });
});

describe('what belongs to a request', () => {
  test('progress comes on its stream under its token, log messages only if asked for and severe enough', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    const told = await client.messages('tools/call', { name: 'progress', _meta: { progressToken: 'mine' } });
    expect(told.map(({ params }) => params?.progressToken)).toEqual(['mine', 'mine', 'mine', undefined]);
    expect(await client.messages('tools/call', { name: 'log' })).toHaveLength(1);
    client.logLevel = 'error';
    expect(await client.messages('tools/call', { name: 'log' })).toHaveLength(1);
    client.logLevel = 'debug';
    const [message, last] = await client.messages('tools/call', { name: 'log' });
    expect(message).toMatchObject({ method: 'notifications/message', params: { data: 'hello' } });
    expect(textOf(last ?? {})).toBe('level debug');
  });

  test('a client that closes the stream has cancelled its request, at the server too', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    await client.call('log');
    const leave = new AbortController();
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: client.params({ name: 'wait' }) };
    const headers = {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28',
      'Mcp-Method': 'tools/call',
      'Mcp-Name': 'wait',
    };
    const left = fetch(proxy.url, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
      signal: leave.signal,
    });
    const refused = expect(left).rejects.toThrow();
    await until(async () => {
      const stats = (await (await fetch(new URL('/api/v1/stats', proxy.url))).json()) as { requests: number };
      return stats.requests === 1;
    });
    leave.abort();
    await refused;
    await until(async () => textOf(await client.call('cancelled')) === '1');
  });
});

describe('subscriptions/listen', () => {
  test('acknowledges first, tells what was asked for under its id, and nothing else', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    await client.call('log');
    const id = 'io.modelcontextprotocol/subscriptionId';
    const all = await client.listen(
      { toolsListChanged: true, promptsListChanged: true, resourceSubscriptions: ['memo://one'] },
      'all',
    );
    const few = await client.listen({ resourceSubscriptions: ['memo://two'] }, 'few');
    // The server declares no listChanged for prompts.
    expect(await all.next()).toMatchObject({
      method: 'notifications/subscriptions/acknowledged',
      params: {
        notifications: { toolsListChanged: true, resourceSubscriptions: ['memo://one'] },
        _meta: { [id]: 'all' },
      },
    });
    expect(await few.next()).toMatchObject({ params: { _meta: { [id]: 'few' } } });
    await client.call('touch', { uri: 'memo://two' });
    await client.call('touch', { uri: 'memo://one' });
    await client.call('grow');
    expect(await all.next()).toMatchObject({
      method: 'notifications/resources/updated',
      params: { uri: 'memo://one', _meta: { [id]: 'all' } },
    });
    expect(await all.next()).toMatchObject({
      method: 'notifications/tools/list_changed',
      params: { _meta: { [id]: 'all' } },
    });
    expect(await few.next()).toMatchObject({ params: { uri: 'memo://two', _meta: { [id]: 'few' } } });
    await proxy.stop();
    expect(await all.next()).toMatchObject({
      id: 'all',
      result: { resultType: 'complete', _meta: { [id]: 'all' } },
    });
  });

  test('a filter that is none is refused, and one that asks for nothing on offer is complete at once', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: counter });
    const client = new ModernClient(proxy.url);
    expect((await client.request('subscriptions/listen', {})).error?.code).toBe(-32602);
    const told = await client.messages('subscriptions/listen', { notifications: { toolsListChanged: true } });
    expect(told.map(({ method }) => method)).toEqual(['notifications/subscriptions/acknowledged', undefined]);
  });
});

test('on a pipe the requests of one client share a session, questions included, and a cancelled one gets no answer', async () => {
  using folder = new TemporaryFolder();
  const proxy = new StdioProxy(folder, { counter: local('counter'), talk: local('talkative') });
  const client = new ModernClient('');
  client.capabilities = person;
  const call = (id: number, tool: string, more: Fields = {}) =>
    proxy.request(id, 'tools/call', client.params({ name: tool, ...more }));
  expect((await proxy.request(1, 'server/discover', client.params())).result).toMatchObject({
    supportedVersions: ['2026-07-28'],
  });
  expect(textOf(await call(2, 'counter__increment'))).toBe('1');
  expect(textOf(await call(3, 'counter__increment'))).toBe('2');
  const questions = asked(await call(4, 'talk__elicit'));
  expect(JSON.parse(textOf(await call(5, 'talk__elicit', answers(questions, name))))).toEqual(name);
  const wait = client.params({ name: 'talk__wait' });
  proxy.write(JSON.stringify({ jsonrpc: '2.0', id: 6, method: 'tools/call', params: wait }));
  await call(7, 'talk__log');
  proxy.write(
    JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 6 } }),
  );
  expect(textOf(await call(8, 'talk__cancelled'))).toBe('1');
  expect(proxy.messages.some(({ id }) => id === 6)).toBe(false);
  proxy.process.stdin?.end();
  expect((await proxy.exited).code).toBe(0);
});
