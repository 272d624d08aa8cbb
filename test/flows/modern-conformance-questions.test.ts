import * as v2 from '@modelcontextprotocol/client';
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ProxyProcess, TemporaryFolder } from '../support/proxy.js';

// The suite itself asks few questions of a legacy client, and takes roots for unknown to a legacy server. Here the
// official clients answer whatever the fixtures of the suite ask, in each pair of eras.

const EVERYTHING = fileURLToPath(new URL('../conformance/everything.mjs', import.meta.url));

const capabilities = { elicitation: { form: {} }, sampling: {}, roots: {} };
const roots = { roots: [{ uri: 'file:///work' }] };
const sample = {
  role: 'assistant' as const,
  content: { type: 'text' as const, text: 'Good day' },
  model: 'test',
};
const form = {
  action: 'accept' as const,
  content: {
    name: 'Ada',
    color: 'blue',
    ok: true,
    context: 'tests',
    username: 'ada',
    email: 'a@example.com',
  },
};

/** Each tool that asks, and what it makes of the answers. */
const ANSWERED = {
  test_sampling: 'LLM response: Good day',
  test_elicitation: `User response: action=accept, content=${JSON.stringify(form.content)}`,
  test_streaming_elicitation: 'Hello, Ada!',
  test_missing_capability: 'LLM response: Good day',
  test_input_required_result_elicitation: 'Hello, Ada!',
  test_input_required_result_sampling: 'Good day',
  test_input_required_result_list_roots: 'Roots: file:///work',
  test_input_required_result_request_state: 'state-ok, confirmed: true',
  test_input_required_result_multiple_inputs: 'Good day Ada: file:///work',
  test_input_required_result_multi_round: 'Ada likes blue',
  test_input_required_result_capabilities: 'Answered: user_name, greeting',
};
const args: Record<string, Record<string, string>> = {
  test_sampling: { prompt: 'Hello' },
  test_elicitation: { message: 'Who?' },
};

/** What a test needs of either official client. */
interface Peer {
  call: (name: string) => Promise<unknown>;
  prompt: (name: string) => Promise<unknown>;
  /** Resolves when the tools have changed. */
  changed: Promise<void>;
  close: () => Promise<void>;
}

const clients = {
  async legacy(url: string): Promise<Peer> {
    const client = new v1.Client({ name: 'v1', version: '1' }, { capabilities });
    client.setRequestHandler(ElicitRequestSchema, () => form);
    client.setRequestHandler(CreateMessageRequestSchema, () => sample);
    client.setRequestHandler(ListRootsRequestSchema, () => roots);
    const changed = new Promise<void>((resolve) =>
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => resolve()),
    );
    await client.connect(new HttpV1(new URL(url)));
    return {
      call: (name) => client.callTool({ name, arguments: args[name] ?? {} }),
      prompt: (name) => client.getPrompt({ name }),
      changed,
      close: () => client.close(),
    };
  },
  async modern(url: string): Promise<Peer> {
    const client = new v2.Client(
      { name: 'v2', version: '1' },
      { capabilities, versionNegotiation: { mode: 'auto' } },
    );
    client.setRequestHandler('elicitation/create', () => form);
    client.setRequestHandler('sampling/createMessage', () => sample);
    client.setRequestHandler('roots/list', () => roots);
    const changed = new Promise<void>((resolve) =>
      client.setNotificationHandler('notifications/tools/list_changed', () => resolve()),
    );
    await client.connect(new v2.StreamableHTTPClientTransport(new URL(url)));
    expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
    await client.listen({ toolsListChanged: true });
    return {
      call: (name) => client.callTool({ name, arguments: args[name] ?? {} }),
      prompt: (name) => client.getPrompt({ name }),
      changed,
      close: () => client.close(),
    };
  },
};

const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

const eras = ['legacy', 'modern'] as const;
const pairs = eras.flatMap((client) => eras.map((server) => [client, server] as const));

describe.each(pairs)('a %s client of a %s server', (client, server) => {
  test('answers whatever it is asked, and hears of changes', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { everything: { command: process.execPath, args: [EVERYTHING, server, 'stdio'] } },
    });
    const peer = await clients[client](proxy.url);
    const answered: Record<string, unknown> = {};
    for (const name of Object.keys(ANSWERED)) answered[name] = textOf(await peer.call(name));
    expect(answered).toEqual(ANSWERED);
    expect(await peer.prompt('test_input_required_result_prompt')).toMatchObject({
      messages: [{ role: 'user', content: { type: 'text', text: 'Context: tests' } }],
    });
    await peer.call('test_trigger_tool_change');
    await peer.changed;
    await peer.close();
  });
});
