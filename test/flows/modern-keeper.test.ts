import { expect, test } from 'vitest';
import type { Fields } from '../../src/protocol/messages.js';
import { eventsOf, RawClient, textOf, type Received } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { childrenOf, handOver, killWorker } from '../support/worker.js';

const elicit = { name: 'elicit' };
const ada = { action: 'accept', content: { name: 'Ada' } };

/** Calls until the client is asked. @returns the params of the retry, with Ada for an answer to each question */
async function untilAsked(client: ModernClient): Promise<Fields> {
  client.capabilities = { elicitation: { form: {} } };
  const { result } = await client.request('tools/call', elicit);
  expect(result).toMatchObject({ resultType: 'input_required' });
  const { requestState, inputRequests } = result ?? {};
  const keys = Object.keys(inputRequests as Fields);
  return { ...elicit, requestState, inputResponses: Object.fromEntries(keys.map((key) => [key, ada])) };
}

/** The server's processes. */
function processes(proxy: ProxyProcess, name: string): number[] {
  return childrenOf(proxy.pid).flatMap(({ pid, command }) => (command.includes(name) ? [pid] : []));
}

const sessions = [
  ['a session that stays', {}],
  ['a session for this call alone', { unidentified: 'new' }],
] as const;

test.each(sessions)(
  'a call whose client is away to answer a question, in %s, goes on with the answer when the worker was killed meanwhile',
  async (_, config) => {
    using folder = new TemporaryFolder();
    const servers = { talk: local('talkative') };
    await using proxy = await ProxyProcess.start(folder, { servers, sessions: config });
    const client = new ModernClient(proxy.url);
    const retry = await untilAsked(client);
    const before = processes(proxy, 'talkative');
    // Also by a worker that has it from another one.
    await killWorker(proxy);
    await handOver(proxy);
    expect(processes(proxy, 'talkative')).toEqual(before);
    const answer = await client.request('tools/call', retry);
    expect(JSON.parse(textOf(answer))).toEqual(ada);
    expect((await client.request('tools/call', retry)).error?.message).toMatch(/used already/);
    if ('unidentified' in config) await until(() => !before.some(isAlive));
  },
);

test('when the server died too, the client that comes back with its answer is told at once that the outcome is unknown', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { talk: local('talkative') } });
  const client = new ModernClient(proxy.url);
  const retry = await untilAsked(client);
  for (const pid of processes(proxy, 'talkative')) process.kill(pid, 'SIGKILL');
  await killWorker(proxy);
  const { result }: Received = await client.request('tools/call', retry);
  expect(result?.isError).toBe(true);
  expect(textOf({ result: result ?? {} })).toMatch(/outcome is unknown/);
});

test('a call whose connection broke with the worker is cancelled by the next one', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { ears: local('hears-notifications') } });
  const client = new ModernClient(proxy.url);
  const broken = client.call('sleep', { ms: 600_000 }).catch(() => 'broken');
  // The first call is under way for at least as long.
  expect(textOf(await client.call('sleep', { ms: 500 }))).toBe('slept 500');
  await killWorker(proxy);
  expect(await broken).toBe('broken');
  await until(async () => textOf(await client.call('heard')).endsWith('notifications/cancelled'));
});

const asking = [
  ['had asked the client', 'ask', 'elicitation/create'],
  ['asks the client later', 'askLate', 'notifications/progress'],
] as const;

test.each(asking)(
  'a call of a legacy client to a server of 2026-07-28 that %s ends at once as of unknown outcome',
  async (_, name, told) => {
    using folder = new TemporaryFolder();
    const servers = { modern: local('modern-counter', { era: 'modern' }) };
    await using proxy = await ProxyProcess.start(folder, { servers });
    const client = await RawClient.open(proxy.url, { elicitation: { form: {} }, sampling: {}, roots: {} });
    expect(await client.text('increment')).toBe('1');
    const params = { name, _meta: { progressToken: 'p' } };
    const response = await client.post({ jsonrpc: '2.0', id: 'asks', method: 'tools/call', params });
    let resume: string | undefined;
    for await (const { id, message } of eventsOf(response)) {
      resume = id;
      if (message?.method === told) break;
    }
    await killWorker(proxy);
    const messages = await client.read(await client.stream(resume));
    expect(textOf(messages.find(({ id }) => id === 'asks') ?? {})).toMatch(/outcome is unknown/);
    expect(await client.text('increment')).toBe('2');
  },
);
