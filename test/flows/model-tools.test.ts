import { expect, test } from 'vitest';
import { RawClient, type Received } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const servers = { counter: local('counter') };

const valueOf = ({ result }: Received) => result?.structuredContent as Record<string, unknown>;

async function start(folder: TemporaryFolder, sessions: Record<string, unknown> = { tools: true }) {
  return ProxyProcess.start(folder, { sessions, servers });
}

test('the session tools are off unless the config asks for them', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder, {});
  const client = await RawClient.open(proxy.url);
  const { tools } = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(tools.filter(({ name }) => name.startsWith('session_'))).toEqual([]);
  expect((await client.call('session_list')).error).toMatchObject({ code: -32602 });
});

test('M2 M10 F9 a model creates, lists and closes sessions beside the tools of its servers', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const { tools } = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(tools.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'increment',
      'session_create',
      'session_use',
      'session_state_set',
      'session_events',
    ]),
  );
  const created = valueOf(await client.call('session_create', { name: 'task' }));
  expect(created).toMatchObject({ name: 'task', state: 'idle', temporary: false });
  const again = await client.call('session_create', { name: 'task' });
  expect(again.result).toMatchObject({
    isError: true,
    _meta: { 'mcp-session-proxy/error': 'SESSION_EXISTS' },
  });
  const { sessions } = valueOf(await client.call('session_list')) as { sessions: { name: string | null }[] };
  expect(sessions.map(({ name }) => name)).toContain('task');
  expect(valueOf(await client.call('session_close', { session: 'task' }))).toEqual({ closed: true });
  expect(valueOf(await client.call('session_close', { session: 'task' }))).toEqual({ closed: false });
});

test('M6 session_use moves the conversation to another session and back, also over a restart', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const { id } = valueOf(await client.call('session_info'));
  expect(await client.text('increment')).toBe('1');
  await client.call('session_create', { name: 'other' });
  await client.call('session_use', { session: 'other' });
  expect(await client.text('get')).toBe('0');
  expect(valueOf(await client.call('session_info'))).toMatchObject({ name: 'other', state: 'active' });
  await client.call('session_use', { session: id });
  expect(await client.text('get')).toBe('1');
  await client.call('session_use', { session: 'other' });
  await proxy.kill();
  await using second = await start(folder);
  const later = new RawClient(second.url, client.session);
  expect(valueOf(await later.call('session_info'))).toMatchObject({ name: 'other' });
});

test('G8 T1 T9 state is set and read by key, merged over its levels, and temp: never reaches the disk', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder, { tools: true, state: { 'app:motto': 'hi', step: 1 } });
  const client = await RawClient.open(proxy.url);
  await client.call('session_state_set', { key: 'step', value: 2 });
  await client.call('session_state_set', { key: 'user:lang', value: 'de' });
  await client.call('session_state_set', { key: 'temp:secret', value: 'x' });
  expect(valueOf(await client.call('session_state_get'))).toEqual({
    'app:motto': 'hi',
    'user:lang': 'de',
    'temp:secret': 'x',
    step: 2,
  });
  expect(
    (await client.call('session_state_set', { key: 'app:motto', value: 'no' })).result?._meta,
  ).toMatchObject({
    'mcp-session-proxy/error': 'FORBIDDEN',
  });
  const other = await RawClient.open(proxy.url);
  expect(valueOf(await other.call('session_state_get'))).toEqual({
    'app:motto': 'hi',
    'user:lang': 'de',
    step: 1,
  });
});

test('T11 calls are recorded with their arguments, less what looks like a secret', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder, {
    tools: true,
    events: { redact: ['text'], redactPatterns: ['\\d{4}'] },
  });
  const client = await RawClient.open(proxy.url);
  await client.call('echo', { text: 'plain', password: 'p', note: 'card 1234' });
  const { events } = valueOf(await client.call('session_events', { last: 1 })) as { events: unknown[] };
  expect(events).toMatchObject([
    {
      type: 'call',
      data: {
        tool: 'echo',
        ok: true,
        arguments: { text: '[redacted]', password: '[redacted]', note: 'card [redacted]' },
      },
    },
  ]);
});

test('G10 resources show the current session and its state', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  const list = (await client.request('resources/list')).result as { resources: { uri: string }[] };
  expect(list.resources.map(({ uri }) => uri)).toEqual(['session://current', 'session://state']);
  await client.call('session_state_set', { key: 'a', value: 1 });
  const { contents } = (await client.request('resources/read', { uri: 'session://state' })).result as {
    contents: { text: string }[];
  };
  expect(JSON.parse(contents[0]?.text ?? '')).toEqual({ a: 1 });
});

test('bad arguments of a session tool are named', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  expect(await client.text('session_extend', { seconds: -1 })).toMatch(/^session_extend: seconds: /);
  expect(await client.text('session_create', { name: '../x' })).toMatch(/cannot name a session/);
  expect(await client.text('session_use', { session: 'nobody' })).toMatch(/There is no session "nobody"/);
});

test('T15 a model keeps a summary of what it did, and finds it again', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await start(folder);
  const client = await RawClient.open(proxy.url);
  expect(valueOf(await client.call('session_summary'))).toEqual({ summary: null });
  await client.text('increment');
  const { summary } = valueOf(await client.call('session_summary', { text: 'Counted to 1.' }));
  expect(summary).toMatchObject({ text: 'Counted to 1.' });
  expect(valueOf(await client.call('session_summary'))).toEqual({ summary });
  const { events } = valueOf(await client.call('session_events')) as { events: { type: string }[] };
  expect(events.map(({ type }) => type)).toContain('call');
});
