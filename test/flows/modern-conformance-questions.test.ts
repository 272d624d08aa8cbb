import * as v2 from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import * as v1 from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as SseV1 } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DaemonHouse } from '../support/daemon.js';
import { CLI, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

// The suite reaches the proxy over Streamable HTTP alone, and asks few questions of a legacy client. Here the official
// clients answer whatever the fixtures of the suite ask, over each transport of either era on either side.

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
  call: (name: string, args: Record<string, string>) => Promise<unknown>;
  prompt: (name: string) => Promise<unknown>;
  /** How often the tools have changed. */
  changes: () => number;
  close: () => Promise<void>;
}

async function legacy(transport: Parameters<v1.Client['connect']>[0]): Promise<Peer> {
  const client = new v1.Client({ name: 'v1', version: '1' }, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, () => form);
  client.setRequestHandler(CreateMessageRequestSchema, () => sample);
  client.setRequestHandler(ListRootsRequestSchema, () => roots);
  let changes = 0;
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => void (changes += 1));
  await client.connect(transport);
  return {
    call: (name, args) => client.callTool({ name, arguments: args }),
    prompt: (name) => client.getPrompt({ name }),
    changes: () => changes,
    close: () => client.close(),
  };
}

async function modern(transport: v2.Transport): Promise<Peer> {
  const mode = { pin: '2026-07-28' };
  const client = new v2.Client({ name: 'v2', version: '1' }, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler('elicitation/create', () => form);
  client.setRequestHandler('sampling/createMessage', () => sample);
  client.setRequestHandler('roots/list', () => roots);
  let changes = 0;
  client.setNotificationHandler('notifications/tools/list_changed', () => void (changes += 1));
  await client.connect(transport);
  await client.listen({ toolsListChanged: true });
  return {
    call: (name, args) => client.callTool({ name, arguments: args }),
    prompt: (name) => client.getPrompt({ name }),
    changes: () => changes,
    close: () => client.close(),
  };
}

const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;

const running: ChildProcess[] = [];
let servers: Record<string, Record<string, unknown>> = {};

/** Starts a fixture over HTTP. */
async function serve(era: string, transport: string): Promise<string> {
  const child = spawn(process.execPath, [EVERYTHING, era, transport], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  for await (const chunk of child.stdout) {
    const [, url] = /listening on (\S+)/.exec(String(chunk)) ?? [];
    if (url !== undefined) return url;
  }
  throw new Error(`the fixture ${era} ${transport} has ended`);
}

beforeAll(async () => {
  const stdio = (era: string) => ({ command: process.execPath, args: [EVERYTHING, era, 'stdio'] });
  servers = {
    legacyStdio: stdio('legacy'),
    legacyHttp: { url: await serve('legacy', 'http') },
    legacySse: { url: await serve('legacy', 'sse') },
    modernStdio: stdio('modern'),
    modernHttp: { url: await serve('modern', 'http') },
  };
});

afterAll(() => running.forEach((child) => child.kill()));

const shim = (config: string) => ({
  command: process.execPath,
  args: [CLI, '--stdio', '--config', config],
  stderr: 'ignore' as const,
  // The clients of the SDKs hand on next to nothing of their own.
  env: Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) => (value ? [[key, value]] : [])),
  ),
});

const clients: Record<string, (url: string, config: string) => Promise<Peer>> = {
  'legacy client over Streamable HTTP': (url) => legacy(new HttpV1(new URL(url))),
  'legacy client over HTTP+SSE': (url) => legacy(new SseV1(new URL('/sse', url))),
  'legacy client over stdio': (_, config) => legacy(new StdioV1(shim(config))),
  'modern client over Streamable HTTP': (url) => modern(new v2.StreamableHTTPClientTransport(new URL(url))),
  'modern client over stdio': (_, config) => modern(new StdioV2(shim(config))),
};

test.each(Object.entries(clients))(
  'a %s answers all that servers of both eras ask over any transport, and hears of changes',
  { timeout: 60_000 },
  async (_, open) => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers });
    await using house = new DaemonHouse({ servers });
    const peer = await open(proxy.url, house.config);
    for (const [count, server] of Object.keys(servers).entries()) {
      const answered: Record<string, unknown> = {};
      for (const name of Object.keys(ANSWERED)) {
        answered[name] = textOf(await peer.call(`${server}__${name}`, args[name] ?? {}));
      }
      expect(answered, server).toEqual(ANSWERED);
      expect(await peer.prompt(`${server}__test_input_required_result_prompt`), server).toMatchObject({
        messages: [{ role: 'user', content: { type: 'text', text: 'Context: tests' } }],
      });
      await peer.call(`${server}__test_trigger_tool_change`, {});
      await until(() => peer.changes() > count);
    }
    await peer.close();
  },
);
