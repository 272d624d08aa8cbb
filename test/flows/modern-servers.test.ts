import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { ProgressCallback } from '@modelcontextprotocol/sdk/shared/protocol.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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
});
