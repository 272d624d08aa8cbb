import { expect, test } from 'vitest';
import { RawClient, textOf } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

/** A connection, an introduction and a farewell for each call (adapters of agent frameworks). */
async function callTool(url: string, tool: string, _meta = {}): Promise<string> {
  const client = await RawClient.open(url);
  const answer = await client.request('tools/call', { name: tool, arguments: {}, _meta });
  expect((await client.delete()).status).toBe(204);
  return textOf(answer);
}

const servers = { counter: local('counter') };

test('at a named URL all calls meet in one session, which outlives each farewell', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const counts = [];
  for (let call = 0; call < 3; call++) counts.push(await callTool(`${proxy.url}/s/task`, 'increment'));
  expect(counts).toEqual(['1', '2', '3']);
});

test('with a hint all calls of a conversation meet in one session', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const counts = [];
  for (const sessionID of ['a', 'b', 'a']) counts.push(await callTool(proxy.url, 'increment', { sessionID }));
  expect(counts).toEqual(['1', '1', '2']);
});

test('without either each call has a session of its own, and its server ends with it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const [first, second] = [await callTool(proxy.url, 'pid'), await callTool(proxy.url, 'pid')];
  expect(first).not.toBe(second);
  await until(() => !isAlive(Number(first)) && !isAlive(Number(second)));
});
