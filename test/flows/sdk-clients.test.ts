import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import * as v2 from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';
import { CLI, isAlive, local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const servers = { talk: local('talkative'), counter: local('counter') };
const capabilities = { elicitation: { form: {} } };
const answer = { action: 'accept' as const, content: { name: 'Ada' } };

/** What a test needs of either official client. */
interface Peer {
  listTools(): Promise<{ tools: { name: string }[] }>;
  call(
    name: string,
    args?: Record<string, unknown>,
    onprogress?: (told: { progress: number }) => void,
  ): Promise<string>;
  /** Resolves with the uri of the next update. */
  updated: Promise<string>;
  subscribe(uri: string): Promise<unknown>;
  close(): Promise<void>;
}

const textOf = (result: unknown) =>
  (result as { content: { text?: string }[] }).content.map(({ text }) => text ?? '').join('\n');

async function openV1(transport: Parameters<v1.Client['connect']>[0]): Promise<Peer> {
  const client = new v1.Client({ name: 'v1', version: '1' }, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, () => answer);
  const updated = new Promise<string>((resolve) =>
    client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => resolve(params.uri)),
  );
  await client.connect(transport);
  return {
    updated,
    listTools: () => client.listTools(),
    subscribe: (uri) => client.subscribeResource({ uri }),
    close: () => client.close(),
    call: async (name, args = {}, onprogress) =>
      textOf(await client.callTool({ name, arguments: args }, undefined, onprogress ? { onprogress } : {})),
  };
}

async function openV2(transport: v2.Transport, mode: 'legacy' | 'auto'): Promise<Peer> {
  const client = new v2.Client({ name: 'v2', version: '1' }, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('elicitation/create', () => answer);
  const updated = new Promise<string>((resolve) =>
    client.setNotificationHandler('notifications/resources/updated', ({ params }) => resolve(params.uri)),
  );
  await client.connect(transport);
  expect(client.getNegotiatedProtocolVersion()).toBe(mode === 'auto' ? '2026-07-28' : '2025-11-25');
  return {
    updated,
    listTools: () => client.listTools(),
    subscribe: (uri) =>
      mode === 'auto' ? client.listen({ resourceSubscriptions: [uri] }) : client.subscribeResource({ uri }),
    close: () => client.close(),
    call: async (name, args = {}, onprogress) =>
      textOf(await client.callTool({ name, arguments: args }, onprogress ? { onprogress } : {})),
  };
}

const peers = [
  ['v1', (url: string) => openV1(new HttpV1(new URL(url)))],
  ['v2', (url: string) => openV2(new v2.StreamableHTTPClientTransport(new URL(url)), 'legacy')],
  ['v2 of 2026-07-28', (url: string) => openV2(new v2.StreamableHTTPClientTransport(new URL(url)), 'auto')],
] as const;

describe.each(peers)('the official client %s', (_, open) => {
  test('lists, calls, answers questions, hears progress and updates', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers });
    const client = await open(proxy.url);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('talk__elicit');
    expect(await client.call('counter__increment')).toBe('1');
    expect(await client.call('counter__increment')).toBe('2');
    expect(JSON.parse(await client.call('talk__elicit'))).toEqual(answer);
    const progress: number[] = [];
    await client.call('talk__progress', {}, (told) => progress.push(told.progress));
    expect(progress).toEqual([1, 2, 3]);
    await client.subscribe('memo://one');
    await client.call('talk__touch', { uri: 'memo://one' });
    expect(await client.updated).toBe('memo://one');
    await client.close();
  });

  test('goes on after a restart of the proxy without connecting anew', async () => {
    using folder = new TemporaryFolder();
    const port = '18807';
    const args = ['--http', `127.0.0.1:${port}`];
    await using first = await ProxyProcess.start(folder, { servers }, { args });
    const client = await open(first.url);
    expect(await client.call('counter__increment')).toBe('1');
    await first.kill();
    await using second = await ProxyProcess.start(folder, { servers }, { args });
    expect(second.url).toBe(first.url);
    expect(await client.call('counter__increment')).toMatch(/was started anew for this call.*\n1$/s);
    await client.close();
  });
});

test('the official client v1 on stdio gets its session, and closing it leaves no process behind', async () => {
  using folder = new TemporaryFolder();
  const config = folder.file('c.json', JSON.stringify({ store: './s.db', mcpServers: servers }));
  const transport = new StdioV1({
    command: process.execPath,
    args: [CLI, '--no-daemon', '--config', config, '--session', 'work'],
    stderr: 'ignore',
  });
  const client = await openV1(transport);
  expect(await client.call('counter__increment')).toBe('1');
  expect(JSON.parse(await client.call('talk__elicit'))).toEqual(answer);
  const pids = [Number(await client.call('counter__pid')), transport.pid ?? 0];
  await client.close();
  expect(pids.filter(isAlive)).toEqual([]);
});

test('two clients that use the same request ids never see each other’s replies', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  // Both official clients count their requests from 0.
  const clients = await Promise.all(
    [...Array(8).keys()].map((n) => peers[n % 2 === 0 ? 0 : 1][1](proxy.url)),
  );
  await Promise.all(
    clients.map(async (client, n) => {
      for (let call = 0; call < 25; call++) {
        expect(await client.call('echo', { text: `${n}-${call}` })).toBe(`${n}-${call}`);
      }
      await client.close();
    }),
  );
});
