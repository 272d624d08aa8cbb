import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { expect, test } from 'vitest';
import { connectProxy } from '../../src/index.js';
import type { Fields } from '../../src/protocol/messages.js';
import { runs } from '../support/child.js';
import { RawClient, textOf } from '../support/client.js';
import { DaemonHouse, installation } from '../support/daemon.js';
import { ModernClient } from '../support/modern.js';
import { local, ProxyProcess, until } from '../support/proxy.js';

const counter = { servers: { counter: local('counter') } };

test('a client that comes back finds its session as it left it', async () => {
  await using house = new DaemonHouse(counter);
  using first = house.client(['--session', 'work']);
  await first.initialize();
  expect(await first.text(1, 'increment')).toBe('1');
  const pid = await first.text(2, 'pid');
  expect(await first.end()).toEqual({ code: 0, signal: null });

  using second = house.client(['--session', 'work']);
  await second.initialize();
  expect(await second.text(1, 'increment')).toBe('2');
  expect(await second.text(2, 'pid')).toBe(pid);
  await second.end();
});

test('clients that start at once share one daemon, each with a session of its own', async () => {
  await using house = new DaemonHouse(counter);
  const clients = Array.from({ length: 4 }, () => house.client());
  await Promise.all(clients.map((client) => client.initialize()));
  const counts = await Promise.all(clients.map((client) => client.text(1, 'increment')));
  expect(counts).toEqual(['1', '1', '1', '1']);
  expect(await house.status()).toMatchObject({ daemon: true, clients: 4, sessions: 4 });
  expect(statSync(house.socket).mode & 0o777).toBe(0o600);
  await Promise.all(clients.map((client) => client.end()));
});

test('a call under way when the worker of the daemon is killed is answered with its result, once, by the same server', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  const pid = await client.text(2, 'pid');
  const slow = client.text(3, 'sleep', { ms: 1500 });
  await house.killWorker();
  expect(await slow).toBe('slept 1500');
  expect(await client.text(4, 'increment')).toBe('2');
  expect(await client.text(5, 'pid')).toBe(pid);
  expect(client.messages.map(({ id }) => id)).toEqual(['init', 1, 2, 3, 4, 5]);
  await client.end();
});

test('a daemon that was killed is replaced by the next message, which says what was lost', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client(['--session', 'work']);
  await client.initialize();
  const server = Number(await client.text(1, 'pid'));
  const { pid, worker } = await house.running();
  process.kill(pid, 'SIGKILL');
  await until(() => !runs(pid) && !runs(worker) && !runs(server));
  expect(await client.text(2, 'increment')).toMatch(/lost[^]*\n1$/);
  await client.end();
});

test('stop ends the daemon and its servers; status says so', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  const server = Number(await client.text(1, 'pid'));
  const { pid, log } = await house.running();
  expect((await house.run('status')).stdout).toContain(`Log: ${log}`);
  expect((await house.run('stop')).stdout).toBe(`Stopped process ${pid}.\n`);
  expect([runs(pid), runs(server)]).toEqual([false, false]);
  expect((await house.run('status')).stdout).toMatch(/^No proxy of this config runs/);
  await client.end();
});

test('the sessions of a daemon are there for the command line and for programs', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client(['--session', 'work']);
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  expect((await house.run('sessions', 'call', 'work', 'increment')).stdout).toBe('2\n');
  const address = await house.run('sessions', 'url', 'work');
  expect([address.code, address.stderr]).toEqual([1, expect.stringMatching(/listens on no port/)]);

  await using proxy = connectProxy(`unix:${house.socket}`);
  const session = await proxy.forAgent('me').getOrCreate('mine');
  const seen: string[] = [];
  const stop = await session.follow(({ type }) => seen.push(type));
  expect((await session.useTool('increment')).content).toEqual([{ type: 'text', text: '1' }]);
  await until(() => seen.length > 0);
  stop();
  const official = new Client({ name: 'official', version: '1' });
  await official.connect(await session.asTransport());
  expect((await official.callTool({ name: 'increment' })).content).toEqual([{ type: 'text', text: '2' }]);
  await official.close();
  expect(await client.text(2, 'increment')).toBe('3');
  await client.end();
});

test('a config with a store in memory keeps its sessions in the daemon, and commands find them there', async () => {
  await using house = new DaemonHouse({ ...counter, store: ':memory:' });
  using client = house.client(['--session', 'work']);
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  expect((await house.run('sessions', 'call', 'work', 'increment')).stdout).toBe('2\n');
  await client.end();
});

test('a client goes on with a daemon that lost its store: it is introduced again, with all it can be asked', async () => {
  await using house = new DaemonHouse({ servers: { talk: local('talkative') }, store: ':memory:' });
  using client = house.client();
  await client.initialize({ elicitation: { form: {} } });
  const { pid, worker } = await house.running();
  process.kill(pid, 'SIGKILL');
  await until(() => !runs(pid) && !runs(worker));
  const asked = client.request(1, 'tools/call', { name: 'elicit', arguments: {} });
  const { id } = await client.next(({ method }) => method === 'elicitation/create');
  client.write(JSON.stringify({ jsonrpc: '2.0', id, result: { action: 'decline' } }));
  expect(textOf(await asked)).toContain('decline');
  await client.end();
});

test('SIGHUP and upgrade put a new worker in the place of the old one: servers, sessions and calls under way go on', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  const pid = await client.text(1, 'pid');
  const before = await house.running();
  const slow = client.text(2, 'sleep', { ms: 3000 });
  const { stdout, code } = await house.run('upgrade');
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^A new worker .* has taken over/)]);
  const after = await house.running();
  expect(after.pid).toBe(before.pid);
  expect(after.worker).not.toBe(before.worker);
  expect(await slow).toBe('slept 3000');
  expect(await client.text(3, 'pid')).toBe(pid);
  await client.end();
});

test('an upgrade to a config that is broken fails with the reason, and the old worker goes on', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  const before = await house.running();
  house.configure('servers: {');
  const { stderr, code } = await house.run('upgrade');
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/the old one goes on\. The config file .*line 1/s),
  ]);
  expect((await house.running()).worker).toBe(before.worker);
  expect(await client.text(1, 'increment')).toBe('1');
  // A client that starts now is served, and its user told.
  using other = house.client();
  await other.initialize();
  expect(other.stderr).toMatch(/The config file has changed, but .*line 1/s);
  await Promise.all([client.end(), other.end()]);
});

test('a client that starts after the config was changed finds the new servers, and those that stayed the same go on', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client(['--session', 'work']);
  await client.initialize();
  const pid = await client.text(1, 'pid');
  house.configure({ servers: { counter: local('counter'), more: local('counts-slowly') } });
  using other = house.client(['--session', 'work']);
  await other.initialize();
  expect(await other.text(1, 'counter__pid')).toBe(pid);
  const { result } = await other.request(2, 'tools/list');
  const tools = (result?.tools as { name: string }[]).map(({ name }) => name);
  expect(tools.some((name) => name.startsWith('more__'))).toBe(true);
  expect(other.stderr).toBe('');
  await Promise.all([client.end(), other.end()]);
});

test('a client of a newer version has the daemon go on as that one; one of an older version uses what is there', async () => {
  await using house = new DaemonHouse(counter);
  using older = house.client();
  await older.initialize();
  const pid = await older.text(1, 'pid');
  const { version } = await house.running();
  using newer = house.client([], installation(house, '99.0.0'));
  await newer.initialize();
  expect(await house.running()).toMatchObject({ version: '99.0.0' });
  expect(await older.text(2, 'pid')).toBe(pid);
  // Also those that follow are of the newer version.
  await house.killWorker();
  expect(await older.text(3, 'pid')).toBe(pid);
  expect(await house.running()).toMatchObject({ version: '99.0.0' });
  using another = house.client();
  await another.initialize();
  expect(await house.running()).toMatchObject({ version: '99.0.0' });
  expect(version).not.toBe('99.0.0');
  await Promise.all([older.end(), newer.end(), another.end()]);
});

test('a newer version that cannot start leaves the old worker in charge, and its client is served', async () => {
  await using house = new DaemonHouse(counter);
  using older = house.client();
  await older.initialize();
  const before = await house.running();
  const program = installation(house, '99.0.0');
  rmSync(join(program, '../../proxy.js'));
  using newer = house.client([], program);
  await newer.initialize();
  expect(await newer.text(1, 'increment')).toBe('1');
  expect(newer.stderr).toMatch(/version 99\.0\.0, but no new worker could take over/);
  expect((await house.running()).worker).toBe(before.worker);
  await Promise.all([older.end(), newer.end()]);
});

test('a broken config ends the client at once with exit code 2, one message, and nothing on stdout', async () => {
  await using house = new DaemonHouse(counter);
  house.configure('servers: {}');
  using client = house.client();
  expect(await client.exited).toEqual({ code: 2, signal: null });
  expect(client.stdout).toBe('');
  expect(client.stderr).toMatch(/^mcp-session-proxy: The config file .* no server is configured.*\n$/);
});

test('clients on pipes find the proxy that serves HTTP on their config, and share its sessions', async () => {
  await using house = new DaemonHouse(counter);
  await using proxy = await ProxyProcess.start(house.folder, counter);
  using client = house.client(['--session', 'work']);
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  const other = await RawClient.open(`${proxy.url}/s/work`);
  expect(await other.text('increment')).toBe('2');
  expect(await house.running()).toMatchObject({
    daemon: false,
    pid: proxy.pid,
    url: proxy.url,
  });
  const { code } = await house.run('stop');
  expect(code).toBe(0);
  expect(await proxy.exited).toEqual({ code: 0, signal: null });
  await client.end();
});

test('--stdio --http has the daemon serve HTTP too; where one runs without, the client is told and served', async () => {
  await using house = new DaemonHouse(counter);
  using first = house.client(['--http', '127.0.0.1:0', '--session', 'work']);
  await first.initialize();
  expect(await first.text(1, 'increment')).toBe('1');
  const { url } = await house.running();
  expect(await (await RawClient.open(`${url}/s/work`)).text('increment')).toBe('2');
  await first.end();
  await house.run('stop');

  using plain = house.client();
  await plain.initialize();
  using second = house.client(['--http', '127.0.0.1:0']);
  await second.initialize();
  expect(second.stderr).toMatch(/started without --http/);
  await Promise.all([plain.end(), second.end()]);
});

test('a client of 2026-07-28 on a pipe: questions, cancellation, changes, also under the next worker', async () => {
  await using house = new DaemonHouse({ servers: { counter: local('counter'), talk: local('talkative') } });
  using client = house.client();
  const modern = new ModernClient('');
  modern.capabilities = { elicitation: { form: {} } };
  const call = (id: number, tool: string, more: Fields = {}) =>
    client.request(id, 'tools/call', modern.params({ name: tool, ...more }));
  expect((await client.request(1, 'server/discover', modern.params())).result).toMatchObject({
    supportedVersions: ['2026-07-28'],
  });
  expect(textOf(await call(2, 'counter__increment'))).toBe('1');
  const { result } = await call(3, 'talk__elicit', { arguments: {} });
  expect(result?.resultType).toBe('input_required');
  const inputResponses = Object.fromEntries(
    Object.keys(result?.inputRequests as Fields).map((key) => [key, { action: 'decline' }]),
  );
  const { requestState } = result ?? {};
  expect(textOf(await call(4, 'talk__elicit', { arguments: {}, inputResponses, requestState }))).toContain(
    'decline',
  );

  const notifications = { resourceSubscriptions: ['memo://one'] };
  client.write(
    JSON.stringify({
      jsonrpc: '2.0',
      id: 'l',
      method: 'subscriptions/listen',
      params: modern.params({ notifications }),
    }),
  );
  const acknowledged = 'notifications/subscriptions/acknowledged';
  await client.next(({ method }) => method === acknowledged);
  await house.killWorker();
  const updates = () => client.messages.filter(({ method }) => method === 'notifications/resources/updated');
  for (let id = 100; updates().length === 0; id++) {
    await call(id, 'talk__touch', { arguments: { uri: 'memo://one' } });
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(client.messages.filter(({ method }) => method === acknowledged)).toHaveLength(1);
  expect(textOf(await call(5, 'counter__increment'))).toBe('2');

  client.write(
    JSON.stringify({
      jsonrpc: '2.0',
      id: 6,
      method: 'tools/call',
      params: modern.params({ name: 'counter__sleep', arguments: { ms: 60_000 } }),
    }),
  );
  client.write(
    JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 6 } }),
  );
  expect(textOf(await call(7, 'counter__increment'))).toBe('3');
  // A call under way is lost with the worker, as the revision has it, and said to be.
  const slow = call(8, 'counter__sleep', { arguments: { ms: 60_000 } });
  await house.killWorker();
  expect(textOf(await slow)).toMatch(/outcome is unknown/);
  await client.end();
  expect(client.messages.filter(({ id }) => id === 6)).toEqual([]);
});

test('messages of megabytes pass both ways', async () => {
  await using house = new DaemonHouse({ ...counter, listen: { maxBody: '32MiB' } });
  using client = house.client();
  await client.initialize();
  const text = 'x'.repeat(8 * 1024 ** 2);
  expect((await client.text(1, 'echo', { text })).length).toBe(text.length);
  await client.end();
});

test('lines that are no messages are answered one by one, a second request of an id under way too', async () => {
  await using house = new DaemonHouse({ ...counter, listen: { maxBody: '64KiB' } });
  using client = house.client();
  client.write(JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'ping' }));
  expect((await client.next(({ id }) => id === 0)).error?.message).toMatch(/initialize/);
  await client.initialize();
  const before = client.messages.length;
  const lines: [string | Uint8Array, number][] = [
    ['hello', -32700],
    ['{"jsonrpc":"2.0","id":1', -32700],
    [Buffer.from([0x22, 0xff, 0xfe, 0x22]), -32700],
    ['[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600],
    ['[]', -32600],
    ['null', -32600],
    ['{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600],
    ['{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600],
    [`{"jsonrpc":"2.0","id":2,"method":"ping","params":{"x":"${'x'.repeat(70_000)}"}}`, -32600],
  ];
  for (const [line] of lines) client.write(line);
  await until(() => client.messages.length === before + lines.length);
  expect(client.messages.slice(before).map(({ error }) => error?.code)).toEqual(
    lines.map(([, code]) => code),
  );
  const sleep = { name: 'sleep', arguments: { ms: 500 } };
  for (let twice = 0; twice < 2; twice++)
    client.write(JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: sleep }));
  await until(() => client.messages.filter(({ id }) => id === 7).length === 2);
  expect(client.messages.filter(({ id }) => id === 7).map(({ error }) => error?.code)).toEqual([
    -32600,
    undefined,
  ]);
  expect(await client.text('ok', 'increment')).toBe('1');
  await client.end();
});

test('what is cancelled on a pipe is cancelled at the server, also when the cancellation follows at once', async () => {
  await using house = new DaemonHouse({ servers: { ...counter.servers, talk: local('talkative') } });
  using client = house.client();
  await client.initialize();
  const params = { name: 'counter__sleep', arguments: { ms: 60_000 } };
  client.write(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }));
  client.write(
    JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }),
  );
  const { code } = await client.end();
  expect(code).toBe(0);
  expect(client.messages.map(({ id }) => id)).toEqual(['init']);
});

test('calls made without a pause while workers are killed and upgraded take place once each', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  let over = false;
  const answers: string[] = [];
  const caller = async (name: string) => {
    for (let call = 1; !over; call++) answers.push(await client.text(`${name}${call}`, 'increment'));
  };
  const callers = ['a', 'b', 'c'].map(caller);
  await house.killWorker();
  await until(async () => (await house.run('upgrade')).code === 0);
  await house.killWorker();
  const enough = answers.length + 20;
  await until(() => answers.length > enough);
  over = true;
  await Promise.all(callers);
  const unknown = answers.filter((answer) => answer.includes('outcome is unknown'));
  const counted = answers.filter((answer) => !unknown.includes(answer)).map(Number);
  expect(new Set(counted).size).toBe(counted.length);
  const count = Number(await client.text('count', 'get'));
  expect(count).toBeGreaterThanOrEqual(counted.length);
  expect(count).toBeLessThanOrEqual(answers.length);
  await client.end();
});
