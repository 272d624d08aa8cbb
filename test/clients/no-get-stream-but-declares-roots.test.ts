import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf, type Received } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/** Says that it can list roots, and never opens a stream of its own: it hears questions on the stream of a call alone. */
async function callRoots(client: RawClient, roots: object[]): Promise<string> {
  const response = await client.post({
    jsonrpc: '2.0',
    id: 'call',
    method: 'tools/call',
    params: { name: 'roots', arguments: {} },
  });
  let answer: Received | undefined;
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'roots/list')
      await client.post({ jsonrpc: '2.0', id: message.id, result: { roots } });
    if (message?.id === 'call') answer = message;
  }
  return textOf(answer ?? {});
}

const servers = { asks: local('asks-roots') };

test('a server’s question for roots comes on the stream of the call that caused it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url, { roots: {} });
  expect(JSON.parse(await callRoots(client, [{ uri: 'file:///work' }]))).toEqual({
    roots: [{ uri: 'file:///work' }],
  });
});

test('where it does not answer, the server goes on without roots after a moment', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url, { roots: {} });
  expect(await client.text('roots')).toBe('{"roots":[]}');
});
