import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf, type Received } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

interface Tool {
  name: string;
  inputSchema: { properties?: Record<string, unknown>; required?: string[] };
}

const required = { counter: local('counter', { handles: 'required' }) };
const optional = { counter: local('counter', { handles: 'optional' }) };

const toolsOf = async (client: RawClient) =>
  ((await client.request('tools/list')).result as { tools: Tool[] }).tools;

const idOf = ({ result }: Received) => (result?.structuredContent as { id: string }).id;

const errorOf = ({ result }: Received) => [
  result?.isError,
  (result?._meta as Record<string, unknown> | undefined)?.['mcp-session-proxy/error'],
];

test('P4 with handles every tool takes a session, three tools make, list and close them, and all clients see one list', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: required });
  const tools = await toolsOf(await RawClient.open(proxy.url));
  expect(tools.map(({ name }) => name)).toEqual([
    ...['increment', 'get', 'pid', 'echo', 'sleep'],
    ...['session_create', 'session_list', 'session_close'],
  ]);
  const own = tools.filter(({ name }) => !name.startsWith('session_'));
  for (const { inputSchema } of own) {
    expect(inputSchema.required).toEqual(['session']);
    expect(inputSchema.properties?.session).toMatchObject({
      type: 'string',
      description: expect.stringMatching(/session_create.*kept for 7d after its last use/) as string,
    });
  }
  const named = new RawClient(`${proxy.url}/s/elsewhere`);
  expect(await toolsOf(named)).toEqual(tools);
  expect(await toolsOf(await RawClient.open(proxy.url, { roots: {} }))).toEqual(tools);
});

test('without handles no tool is altered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
  const tools = await toolsOf(await RawClient.open(proxy.url));
  expect(tools.map(({ name, inputSchema }) => [name, inputSchema])).toEqual(
    ['increment', 'get', 'pid', 'echo', 'sleep'].map((name) => [name, { type: 'object' }]),
  );
});

test('M15 M20 one connection drives several sessions at once, by handle before all else', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: required });
  const client = await RawClient.open(`${proxy.url}/s/home`);
  const ids = [
    idOf(await client.call('session_create')),
    idOf(await client.call('session_create', { name: 'b' })),
  ];
  const sessions = [ids[0] ?? '', 'b', 'home'];
  const calls = Array.from({ length: 30 }, (_, at) =>
    client.text('increment', { session: sessions[at % 3] }),
  );
  const counts = await Promise.all(calls);
  for (const first of [0, 1, 2]) {
    const own = counts.filter((_, at) => at % 3 === first).map(Number);
    expect(own.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  }
  const pids = await Promise.all(sessions.map((session) => client.text('pid', { session })));
  expect(new Set(pids).size).toBe(3);
});

test('a missing, unknown, closed, foreign or odd handle is an error that the model can mend', async () => {
  using folder = new TemporaryFolder();
  const tokens = ['alice', 'bob'].map((name) => ({ name, value: `the-token-of-${name}`, admin: true }));
  await using proxy = await ProxyProcess.start(folder, { servers: required, auth: { tokens } });
  const as = async (name: string) => {
    const client = new RawClient(proxy.url);
    client.headers = { Authorization: `Bearer the-token-of-${name}` };
    await client.initialize();
    return client;
  };
  const [alice, bob] = [await as('alice'), await as('bob')];
  const foreign = idOf(await bob.call('session_create'));
  const closed = idOf(await alice.call('session_create'));
  await alice.call('session_close', { session: closed });
  expect(errorOf(await alice.call('increment'))).toEqual([true, 'SESSION_REQUIRED']);
  const told = [];
  for (const session of [foreign, closed, 'ses_unknown', '../x', 7, '', 'x'.repeat(9999)]) {
    const answer = await alice.call('increment', { session });
    expect(errorOf(answer)).toEqual([true, 'SESSION_NOT_FOUND']);
    told.push(textOf(answer).replace(String(session).slice(0, 80), 'X'));
  }
  expect(new Set(told.slice(0, 4)).size).toBe(1);
  expect(told[0]).toMatch(/Call session_create/);
});

test('an optional handle may be left out: the call is for the client’s own session', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: optional });
  const client = await RawClient.open(proxy.url);
  await client.call('session_create', { name: 'other' });
  expect(await client.text('increment', { session: 'other' })).toBe('1');
  expect(await client.text('increment')).toBe('1');
  expect(await client.text('increment', { session: 'other' })).toBe('2');
});

test('a handle works after a restart of the proxy, before any list was asked for', async () => {
  using folder = new TemporaryFolder();
  const first = await ProxyProcess.start(folder, { servers: required });
  const client = await RawClient.open(first.url);
  const session = idOf(await client.call('session_create'));
  await client.call('increment', { session });
  await first.kill();
  await using second = await ProxyProcess.start(folder, { servers: required });
  const later = new RawClient(second.url, client.session);
  expect(await later.text('increment', { session })).toMatch(/is lost.*\n1$/s);
});

test('a tool that has a session of its own keeps it, and the handle gets another name; the server never sees it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { mirror: local('takes-a-session', { handles: 'required' }) },
  });
  const client = await RawClient.open(proxy.url);
  const [own, plain] = await toolsOf(client);
  expect(own?.inputSchema.required).toEqual(['session', 'mcp_session']);
  expect(plain?.inputSchema.required).toEqual(['session']);
  const handle = idOf(await client.call('session_create'));
  expect(await client.text('own', { session: 'mine', mcp_session: handle })).toBe('{"session":"mine"}');
  expect(await client.text('plain', { session: handle, a: 1 })).toBe('{"a":1}');
});

test('a question of the server reaches the caller, whichever session the call was for', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { asks: local('asks-roots', { handles: 'optional' }) },
  });
  const client = await RawClient.open(proxy.url, { elicitation: {} });
  const session = idOf(await client.call('session_create'));
  const response = await client.post({
    jsonrpc: '2.0',
    id: 'call',
    method: 'tools/call',
    params: { name: 'elicit', arguments: { session, message: 'name?' } },
  });
  let answer: Received | undefined;
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'elicitation/create') {
      await client.post({ jsonrpc: '2.0', id: message.id, result: { action: 'accept', content: { a: 1 } } });
    }
    if (message?.id === 'call') answer = message;
  }
  expect(textOf(answer ?? {})).toContain('"a":1');
});
