import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, test } from 'vitest';
import { RawClient, textOf } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const servers = { counter: local('counter'), talk: local('talkative') };
const answer = { action: 'accept' as const, content: { name: 'Ada' } };
const textIn = (result: unknown) => textOf({ result: result as Record<string, unknown> });

async function connect(url: URL): Promise<Client> {
  const client = new Client({ name: 'old', version: '1' }, { capabilities: { elicitation: { form: {} } } });
  client.setRequestHandler(ElicitRequestSchema, () => answer);
  await client.connect(new SSEClientTransport(url));
  return client;
}

const at = (proxy: ProxyProcess, path: string) => new URL(path, proxy.url);

describe('a client of 2024-11-05 over HTTP+SSE', () => {
  test('has a session of its own, and is asked on its one stream', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers });
    const [one, other] = [await connect(at(proxy, '/sse')), await connect(at(proxy, '/sse'))];
    const increment = (client: Client) => client.callTool({ name: 'counter__increment' });
    expect(textIn(await increment(one))).toBe('1');
    expect(textIn(await increment(one))).toBe('2');
    expect(textIn(await increment(other))).toBe('1');
    expect(JSON.parse(textIn(await one.callTool({ name: 'talk__elicit' })))).toEqual(answer);
    await one.close();
    await other.close();
  });

  test('P2 that names its session in the URL goes on after a restart without introducing itself again', async () => {
    using folder = new TemporaryFolder();
    const args = ['--http', '127.0.0.1:18811'];
    await using first = await ProxyProcess.start(folder, { servers }, { args });
    const client = await connect(at(first, '/sse/s/mine'));
    expect(textIn(await client.callTool({ name: 'counter__increment' }))).toBe('1');
    await first.kill();
    await using second = await ProxyProcess.start(folder, { servers }, { args });
    // The client opens its stream again by itself, in its own time.
    let last: unknown;
    await until(async () => {
      last = await client.callTool({ name: 'counter__increment' }).catch(() => undefined);
      return last !== undefined;
    });
    expect(textIn(last)).toMatch(/was started anew for this call/);
    const legacy = new RawClient(`${second.url}/s/mine`);
    await legacy.initialize();
    expect(await legacy.text('counter__get')).toBe('1');
    await client.close();
  });

  test('with a key in the URL gets the answer that came while its stream was broken, and hears progress', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers });
    const open = async () => {
      const response = await fetch(at(proxy, '/sse?key=laptop'), {
        headers: { Accept: 'text/event-stream' },
      });
      const text = response.body?.pipeThrough(new TextDecoderStream()).getReader();
      let read = '';
      const has = async (what: RegExp): Promise<string> => {
        for (let found = what.exec(read); ; found = what.exec(read)) {
          if (found) return found[1] ?? '';
          read += (await text?.read())?.value ?? '';
        }
      };
      const endpoint = await has(/event: endpoint\ndata: (\S+)\n/);
      const post = (message: object) =>
        fetch(at(proxy, endpoint), {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ jsonrpc: '2.0', ...message }),
        });
      return { has, post, leave: () => text?.cancel() };
    };
    const before = await open();
    const params = {
      protocolVersion: '2024-11-05',
      capabilities: {},
      clientInfo: { name: 'raw', version: '1' },
    };
    await before.post({ id: 0, method: 'initialize', params });
    expect(await before.has(/"protocolVersion":"(.*?)"/)).toBe('2024-11-05');
    const sleep = { name: 'counter__sleep', arguments: { ms: 500 } };
    expect((await before.post({ id: 1, method: 'tools/call', params: sleep })).status).toBe(202);
    await before.leave();
    const after = await open();
    expect(await after.has(/"id":1,.*(slept 500)/)).toBe('slept 500');
    const progress = { name: 'talk__progress', _meta: { progressToken: 'mine' } };
    await after.post({ id: 2, method: 'tools/call', params: progress });
    expect(await after.has(/"progressToken":"(mine)","progress":3/)).toBe('mine');
    await after.leave();
  });

  test('V5 V10 what names an unknown connection, another method, or comes from another origin is refused', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers });
    const lost = await fetch(at(proxy, '/messages?connection=x'), { method: 'POST', body: '{}' });
    expect(lost.status).toBe(404);
    expect(await lost.json()).toMatchObject({
      error: { message: expect.stringContaining('/sse') as string },
    });
    expect((await fetch(at(proxy, '/sse'), { method: 'POST', body: '{}' })).status).toBe(405);
    const evil = await fetch(at(proxy, '/sse'), { headers: { Origin: 'https://evil.example' } });
    expect(evil.status).toBe(403);
    await evil.body?.cancel();
  });
});
