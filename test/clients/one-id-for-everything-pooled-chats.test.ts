import { expect, test } from 'vitest';
import { RawClient, textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/** Every request has the same id, and one connection with one `Mcp-Session-Id` serves all conversations (claude.ai). */
class Client {
  readonly #connection: RawClient;

  constructor(connection: RawClient) {
    this.#connection = connection;
  }

  async callTool(tool: string, args: object, chat?: string): Promise<string> {
    const _meta = chat === undefined ? {} : { 'example.com/chat': chat };
    const params = { name: tool, arguments: args, _meta };
    return textOf(await this.#connection.request('tools/call', params, 1));
  }
}

const servers = { counter: local('counter') };
const clients = { example: { hints: [{ meta: 'example.com/chat' }] } };

test('each answer goes to the request that it answers, though all have one id', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = new Client(await RawClient.open(proxy.url));
  const texts = Array.from({ length: 50 }, (_, at) => `text ${at}`);
  const echoes = await Promise.all(texts.map((text) => client.callTool('echo', { text })));
  expect(echoes).toEqual(texts);
});

test('conversations on one id are kept apart where the client gives a hint, and meet where it gives none', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, clients });
  const client = new Client(await RawClient.open(proxy.url));
  const chats = ['a', 'b', undefined] as const;
  const calls = Array.from({ length: 30 }, (_, at) => client.callTool('increment', {}, chats[at % 3]));
  const counts = await Promise.all(calls);
  for (const first of [0, 1, 2]) {
    const own = counts.filter((_, at) => at % 3 === first).map(Number);
    expect(own.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  }
});

test('a conversation keeps its session when the pool is given up for another', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, clients });
  const pool = await RawClient.open(proxy.url);
  expect(await new Client(pool).callTool('increment', {}, 'a')).toBe('1');
  expect((await pool.delete()).status).toBe(204);
  expect(await new Client(await RawClient.open(proxy.url)).callTool('increment', {}, 'a')).toBe('2');
});
