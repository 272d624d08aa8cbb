import { expect, test } from 'vitest';
import { RawClient, textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/**
 * Introduces itself, and sends its requests without the id it was given; the conversation stands in `_meta` (ChatGPT)
 * or in a header (OpenHands).
 */
class Client extends RawClient {
  readonly #meta: Record<string, unknown>;

  constructor(url: string, meta: Record<string, unknown>) {
    super(url);
    this.#meta = meta;
  }

  /** A tool call as this client makes it: a fresh introduction, whose id is dropped. */
  async callTool(name: string, args = {}): Promise<string> {
    await this.initialize();
    this.session = undefined;
    return textOf(await this.request('tools/call', { name, arguments: args, _meta: this.#meta }));
  }
}

const servers = { counter: local('counter') };
const chat = (id: string) => ({ 'openai/session': id });

test('calls of one conversation meet in one session, those of another do not', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const [one, two] = [new Client(proxy.url, chat('v1/one')), new Client(proxy.url, chat('v1/two'))];
  const counts = [];
  for (const client of [one, one, two, one]) counts.push(await client.callTool('increment'));
  expect(counts).toEqual(['1', '2', '1', '3']);
});

test('the conversation goes on after the proxy was killed, and the model is told what was lost', async () => {
  using folder = new TemporaryFolder();
  const first = await ProxyProcess.start(folder, { servers });
  await new Client(first.url, chat('v1/one')).callTool('increment');
  await first.kill();
  await using second = await ProxyProcess.start(folder, { servers });
  expect(await new Client(second.url, chat('v1/one')).callTool('increment')).toMatch(/is lost.*\n1$/s);
});

test('calls of a new conversation that come at once make one session', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = new RawClient(proxy.url);
  const calls = Array.from({ length: 10 }, (_, id) =>
    client.request('tools/call', { name: 'increment', arguments: {}, _meta: chat('v1/new') }, id),
  );
  const counts = (await Promise.all(calls)).map((answer) => Number(textOf(answer)));
  expect(counts.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test.each<[string, Record<string, unknown>, Record<string, string>]>([
  ['a key of _meta', { threadId: 't1' }, {}],
  ['a key in JSON text', { 'x-codex-turn-metadata': JSON.stringify({ session_id: 's1' }) }, {}],
  ['a key in an object', { 'x-codex-turn-metadata': { session_id: 's1' } }, {}],
  ['a header', {}, { 'X-OpenHands-Conversation-ID': 'c1' }],
])('the conversation is found in %s', async (_, meta, headers) => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const counts = [];
  for (let call = 0; call < 2; call++) {
    const client = new Client(proxy.url, meta);
    client.headers = headers;
    counts.push(await client.callTool('increment'));
  }
  expect(counts).toEqual(['1', '2']);
});

test('without a hint, or with the hint switched off, such a client is told that its id is missing', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, clients: { chatgpt: 'off' } });
  for (const meta of [{}, chat('v1/one'), { 'openai/session': '' }, { 'openai/session': { a: 1 } }]) {
    const response = await new RawClient(proxy.url).post({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'increment', _meta: meta },
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('Mcp-Session-Id is missing');
  }
});

test('where the policy gives each principal one session, a client that names nothing at all works in that', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { unidentified: 'principal' } });
  const counts = [];
  for (let call = 0; call < 2; call++) counts.push(await new Client(proxy.url, {}).callTool('increment'));
  expect(counts).toEqual(['1', '2']);
});

test('a conversation of one principal is nobody else’s, though they name it alike', async () => {
  using folder = new TemporaryFolder();
  const tokens = ['alice', 'bob'].map((name) => ({ name, value: `the-token-of-${name}` }));
  await using proxy = await ProxyProcess.start(folder, { servers, auth: { tokens } });
  const counts = [];
  for (const name of ['alice', 'bob', 'alice']) {
    const client = new Client(proxy.url, chat('v1/one'));
    client.headers = { Authorization: `Bearer the-token-of-${name}` };
    counts.push(await client.callTool('increment'));
  }
  expect(counts).toEqual(['1', '1', '2']);
});
