import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { ProgressCallback } from '@modelcontextprotocol/sdk/shared/protocol.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { textOf } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';
import { RemoteServer } from '../support/remote.js';

/** A client of 2025-11-25 in front of a server of 2026-07-28. */
class Legacy {
  readonly client = new ClientV1(
    { name: 'legacy', version: '1' },
    { capabilities: { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} } },
  );
  readonly asked: unknown[] = [];
  readonly heard: { method: string; params?: unknown }[] = [];
  #next: (() => void)[] = [];

  constructor() {
    const { client } = this;
    client.setRequestHandler(types.ElicitRequestSchema, ({ params }) => {
      this.asked.push(params);
      return params.mode === 'url' ? { action: 'accept' } : { action: 'accept', content: { name: 'Ada' } };
    });
    client.setRequestHandler(types.CreateMessageRequestSchema, () => ({
      role: 'assistant',
      model: 'm',
      content: { type: 'text', text: 'that' },
    }));
    client.setRequestHandler(types.ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///here' }] }));
    client.fallbackNotificationHandler = (notification) => {
      this.heard.push(notification);
      for (const next of this.#next.splice(0)) next();
      return Promise.resolve();
    };
  }

  async call(name: string, args: Record<string, unknown> = {}, onprogress?: ProgressCallback) {
    const result = await this.client.callTool(
      { name, arguments: args },
      undefined,
      onprogress ? { onprogress } : {},
    );
    return (result.content as { text?: string }[]).map(({ text }) => text ?? '').join('\n');
  }

  /** Resolves when a notification of that method has come. */
  async hears(method: string) {
    for (;;) {
      const found = this.heard.find((notification) => notification.method === method);
      if (found) return found;
      await new Promise<void>((resolve) => this.#next.push(resolve));
    }
  }
}

async function open(url: string): Promise<Legacy> {
  const legacy = new Legacy();
  await legacy.client.connect(new HttpV1(new URL(url)));
  return legacy;
}

describe.each(['http', 'stdio'] as const)('a modern server over %s serves a legacy client', (wire) => {
  const folder = new TemporaryFolder();
  let remote: RemoteServer | undefined;
  let proxy: ProxyProcess;
  beforeAll(async () => {
    if (wire === 'http') remote = await RemoteServer.start('modern-counter', ['--http']);
    const counter = remote ? { url: remote.url } : local('modern-counter');
    proxy = await ProxyProcess.start(folder, { servers: { counter } });
  });
  afterAll(async () => {
    await proxy.stop();
    remote?.[Symbol.dispose]();
    folder[Symbol.dispose]();
  });

  test('with what it is, its tools, prompts and resources', async () => {
    const { client, ...legacy } = await open(proxy.url);
    expect(client.getServerVersion()).toMatchObject({ name: 'modern-counter' });
    expect(client.getInstructions()).toBe('Count with me.');
    expect(client.getServerCapabilities()).toMatchObject({ resources: { subscribe: true }, completions: {} });
    expect((await client.listTools()).tools.length).toBeGreaterThan(10);
    expect((await client.listPrompts()).prompts).toEqual([{ name: 'greet' }]);
    expect((await client.listResources()).resources).toMatchObject([{ uri: 'memo://one' }]);
    expect((await client.readResource({ uri: 'memo://one' })).contents).toMatchObject([
      { text: 'memo memo://one' },
    ]);
    const ref = { type: 'ref/prompt' as const, name: 'greet' };
    expect((await client.complete({ ref, argument: { name: 'a', value: 'o' } })).completion.values).toEqual([
      'one',
    ]);
    expect(legacy.asked).toEqual([]);
  });

  test('telling it with each request who the client is and what it can', async () => {
    const legacy = await open(proxy.url);
    const envelope = JSON.parse(await legacy.call('envelope')) as Record<string, unknown>;
    expect(envelope).toEqual({
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'legacy', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {
        elicitation: { form: {}, url: {} },
        sampling: {},
        roots: {},
      },
    });
  });

  test('asking it for input in the middle of a call, all at once', async () => {
    const legacy = await open(proxy.url);
    expect(JSON.parse(await legacy.call('ask'))).toEqual({
      who: { action: 'accept', content: { name: 'Ada' } },
      what: { role: 'assistant', model: 'm', content: { type: 'text', text: 'that' } },
      where: { roots: [{ uri: 'file:///here' }] },
    });
    const { messages } = await legacy.client.getPrompt({ name: 'greet' });
    expect(messages).toMatchObject([{ content: { text: expect.stringContaining('Ada') as string } }]);
  });

  test('in several rounds, with the state of the server as it was', async () => {
    const legacy = await open(proxy.url);
    expect(await legacy.call('askTwice')).toBe(
      'state "2" {"state \\"2\\"":{"action":"accept","content":{"name":"Ada"}}}',
    );
    expect(legacy.asked).toMatchObject([{ message: 'state "1"' }, { message: 'state "2"' }]);
    expect(await legacy.call('pause')).toBe('paused');
  });

  test('with an id for a question by URL, and an end to endless questions', async () => {
    const legacy = await open(proxy.url);
    expect(JSON.parse(await legacy.call('askByUrl'))).toEqual({ go: { action: 'accept' } });
    expect(legacy.asked).toMatchObject([{ mode: 'url', elicitationId: expect.any(String) as string }]);
    await expect(legacy.call('askForEver')).rejects.toThrow('asked for input more than 10 times');
    expect(legacy.asked).toHaveLength(11);
  });

  test('with progress, and log messages once it has set a level', async () => {
    const legacy = await open(proxy.url);
    const told: number[] = [];
    expect(await legacy.call('progress', {}, ({ progress }) => told.push(progress))).toBe('done');
    expect(told).toEqual([1, 2, 3]);
    await legacy.call('log');
    expect(legacy.heard).toEqual([]);
    await legacy.client.setLoggingLevel('info');
    await legacy.call('log');
    expect((await legacy.hears('notifications/message')).params).toMatchObject({ data: 'hello' });
  });

  test('with word of changed lists and of the resources it subscribed to', async () => {
    const legacy = await open(proxy.url);
    await legacy.call('grow');
    expect(await legacy.hears('notifications/tools/list_changed')).not.toHaveProperty('params');
    await legacy.client.subscribeResource({ uri: 'memo://one' });
    await legacy.client.subscribeResource({ uri: 'memo://two' });
    await legacy.client.unsubscribeResource({ uri: 'memo://one' });
    await legacy.call('touch', { uri: 'memo://one' });
    await legacy.call('touch', { uri: 'memo://two' });
    const updated = await legacy.hears('notifications/resources/updated');
    expect(updated.params).toEqual({ uri: 'memo://two' });
  });

  test('with results it can read, and errors as they are', async () => {
    const legacy = await open(proxy.url);
    const { tools } = await legacy.client.listTools();
    expect(tools.find(({ name }) => name === 'numbers')?.outputSchema).toMatchObject({
      type: 'object',
      properties: { result: { type: 'array' } },
    });
    const result = await legacy.client.callTool({ name: 'numbers' });
    expect(result.structuredContent).toEqual({ result: [1, 2, 3] });
    expect(result).not.toHaveProperty('resultType');
    await expect(legacy.call('refuse')).rejects.toMatchObject({ code: -32602, data: { why: 'so' } });
  });

  test('cancelling what it cancels', async () => {
    const legacy = await open(proxy.url);
    const cancel = new AbortController();
    const waiting = legacy.client.callTool({ name: 'wait' }, undefined, { signal: cancel.signal });
    const ended = expect(waiting).rejects.toThrow();
    await legacy.call('increment'); // behind the call, on the same wire
    cancel.abort();
    await ended;
    expect(await legacy.call('cancelled')).toBe('1');
  });
});

test('arguments a tool wants in headers go there over HTTP, whatever letters they have', async () => {
  using folder = new TemporaryFolder();
  using remote = await RemoteServer.start('modern-counter', ['--http']);
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: { url: remote.url } } });
  const legacy = await open(proxy.url);
  expect(await legacy.call('region', { region: 'eu' })).toBe('eu by eu');
  expect(await legacy.call('region', { region: 'Zürich' })).toBe('Zürich by =?base64?WsO8cmljaA==?=');
});

describe('the era of a server is found out', () => {
  const kinds = [
    ['a modern one', 'modern-counter', []],
    ['one of both eras', 'modern-counter', ['--dual']],
    ['a legacy one', 'counter', []],
    ['a legacy one that leaves at any other first request', 'leaves-unless-initialized', []],
  ] as const;

  test.each(kinds)('over stdio, for a client of either era: %s', async (_, name, args) => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { one: local(name, { scope: 'session' }, [...args]) },
    });
    expect(await (await open(`${proxy.url}/s/legacy`)).call('increment')).toBe('1');
    const modern = new ModernClient(`${proxy.url}/s/modern`);
    expect(textOf(await modern.call('increment'))).toBe('1');
    expect(textOf(await modern.call('increment'))).toBe('2');
  });

  test.each(kinds)('over stdio, where a modern client comes first: %s', async (_, name, args) => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { one: local(name, {}, [...args]) } });
    const modern = new ModernClient(`${proxy.url}/s/modern`);
    expect(textOf(await modern.call('increment'))).toBe('1');
    expect(await (await open(`${proxy.url}/s/modern`)).call('increment')).toBe('2');
  });

  test.each([
    ['a modern one', 'modern-counter', ['--http']],
    ['one of both eras', 'modern-counter', ['--http', '--dual']],
    ['a legacy one', 'http-counter', []],
    ['one of HTTP+SSE', 'http-counter', ['--sse']],
  ] as const)('over HTTP, for a client of either era: %s', async (_, name, args) => {
    using folder = new TemporaryFolder();
    using remote = await RemoteServer.start(name, [...args]);
    await using proxy = await ProxyProcess.start(folder, { servers: { one: { url: remote.url } } });
    expect(textOf(await new ModernClient(`${proxy.url}/s/one`).call('increment'))).toBe('1');
    expect(await (await open(`${proxy.url}/s/one`)).call('increment')).toBe('2');
  });

  test('unless it is configured: then the other is not tried', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { one: local('modern-counter', { era: 'legacy' }) },
    });
    expect(await (await open(proxy.url)).call('increment')).toMatch(
      /^Server "one" could not be started: it refused/,
    );
  });
});
