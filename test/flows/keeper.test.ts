import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { runs } from '../support/child.js';
import { childrenOf, killWorker, workerOf } from '../support/worker.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { counter: local('counter') } };

/** Begins a call that takes a while, and waits until the server has it. @returns where its stream can be resumed */
async function begin(client: RawClient, ms: number, id: string): Promise<string> {
  const params = { name: 'sleep', arguments: { ms } };
  const response = await client.post({ jsonrpc: '2.0', id, method: 'tools/call', params });
  const { value } = await eventsOf(response).next();
  return value?.id ?? '';
}

test('P7 a call in flight at kill -9 of the worker is answered to the client that resumes its stream, by the same server process', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  expect(await client.text('increment')).toBe('1');
  const pid = await client.text('pid');
  const resume = await begin(client, 1500, 'slow');
  await killWorker(proxy);

  const [answer] = await client.read(await client.stream(resume));
  expect(answer).toMatchObject({ id: 'slow', result: { content: [{ text: 'slept 1500' }] } });
  // Nothing was lost, and nothing says so.
  expect(await client.text('increment')).toBe('2');
  expect(await client.text('pid')).toBe(pid);
});

test('P7 the official client gets the result of its call although the worker was killed meanwhile, and the call took place once', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { slow: local('counts-slowly') },
  });
  const client = new Client({ name: 'official', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(proxy.url)));
  let resumable = false;
  const asked = client.callTool(
    { name: 'increment', arguments: { ms: 1500 } },
    { onresumptiontoken: () => (resumable = true) },
  );
  await until(() => resumable);
  await killWorker(proxy);
  expect((await asked).content).toEqual([{ type: 'text', text: '1' }]);
  expect((await client.callTool({ name: 'get' })).content).toEqual([{ type: 'text', text: '1' }]);
  await client.close();
});

test('a client’s cancellation reaches the server that another worker had sent the call to, and nobody answers it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { ears: local('hears-notifications') } });
  const client = await RawClient.open(proxy.url);
  const resume = await begin(client, 600_000, 'slow');
  await killWorker(proxy);
  const stream = await client.stream(resume);
  await client.post({
    jsonrpc: '2.0',
    method: 'notifications/cancelled',
    params: { requestId: 'slow' },
  });
  expect(await client.read(stream)).toEqual([]);
  await until(async () => (await client.text('heard')).endsWith('notifications/cancelled'));
});

const CHANGED = 'notifications/tools/list_changed';

test('what a server tells before its client is back under the next worker waits for the client', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { ears: local('hears-notifications') } });
  const clients = await Promise.all([1, 2].map(() => RawClient.open(`${proxy.url}/s/work`)));
  const [away, here] = clients as [RawClient, RawClient];
  const server = Number(await here.text('pid'));
  const { value: primed } = await eventsOf(await away.stream()).next();
  await killWorker(proxy);
  process.kill(server, 'SIGUSR2');
  // The answer comes after the message on the same pipe.
  await until(async () => (await here.text('signals')) === '1');
  const events = eventsOf(await away.stream(primed?.id));
  await until(async () => (await events.next()).value?.message?.method === CHANGED);
});

test.each(['principal', 'shared'])(
  'a server of scope %s goes on for all sessions that use it',
  async (scope) => {
    using folder = new TemporaryFolder();
    const servers = { counter: local('counter', { scope }) };
    await using proxy = await ProxyProcess.start(folder, { servers });
    const [one, two] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    expect(await one.text('increment')).toBe('1');
    expect(await two.text('increment')).toBe('2');
    const resume = await begin(two, 1500, 'slow');
    await killWorker(proxy);
    const [answer] = await two.read(await two.stream(resume));
    expect(textOf(answer ?? {})).toBe('slept 1500');
    expect(await one.text('increment')).toBe('3');
    expect(await two.text('increment')).toBe('4');
  },
);

test('calls of a server that is started for each are answered by the process that each had, which ends then', async () => {
  using folder = new TemporaryFolder();
  const servers = { slow: local('counts-slowly', { scope: 'call' }) };
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url);
  const calls = ['first', 'second'].map((id) => client.begin('increment', { ms: 1500 }, id));
  const resumes = await Promise.all(calls);
  const processes = () => childrenOf(proxy.pid).filter(({ command }) => command.includes('counts-slowly'));
  expect(processes()).toHaveLength(2);
  await killWorker(proxy);
  const answers = await Promise.all(resumes.map(async (resume) => client.read(await client.stream(resume))));
  expect(answers.map(([answer]) => [answer?.id, textOf(answer ?? {})])).toEqual([
    ['first', '1'],
    ['second', '1'],
  ]);
  await until(() => processes().length === 0);
});

const arrived = [
  ['reaches the client', 0, /^1$/],
  ['of more than 64 KiB is told at once to be lost', 2 ** 16, /outcome is unknown/],
] as const;

test.each(arrived)('an answer that the killed worker had read and not stored %s', async (_, size, text) => {
  using folder = new TemporaryFolder();
  const marker = join(folder.path, 'marker');
  const checkpoint = { after: ['increment'], calls: [{ tool: 'save' }] };
  const servers = { saves: local('saves-slowly', { checkpoint }, [marker]) };
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(proxy.url);
  const resume = await client.begin('increment', { ms: 100, size }, 'saved');
  // The answer has come, and waits for the state to be saved.
  await until(() => existsSync(marker));
  await killWorker(proxy);
  const messages = await client.read(await client.stream(resume));
  expect(textOf(messages.find(({ id }) => id === 'saved') ?? {})).toMatch(text);
  expect(await client.text('get')).toBe('1');
});

test('a request of which the server got only a part when the worker was killed ends at once, and spoils none after it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { stalls: local('stalls') } });
  const client = await RawClient.open(proxy.url);
  const server = Number(await client.text('pid'));
  expect(await client.text('stall')).toBe('stalled');
  const params = { name: 'size', arguments: { text: 'x'.repeat(2 ** 21) } };
  const response = await client.post({ jsonrpc: '2.0', id: 'torn', method: 'tools/call', params });
  const resume = (await eventsOf(response).next()).value?.id;
  await killWorker(proxy);
  const [answer] = await client.read(await client.stream(resume));
  expect(textOf(answer ?? {})).toMatch(/restarted while it wrote the request.*outcome is unknown/);
  process.kill(server, 'SIGUSR2');
  expect(await client.text('broken')).toBe('1');
  expect(await client.text('pid')).toBe(String(server));
});

test('sessions live through one kill after the other, each with its own server process', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const clients = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const pids = await Promise.all(clients.map((client) => client.text('pid')));
  for (let round = 1; round <= 3; round++) {
    await killWorker(proxy);
    expect(await Promise.all(clients.map((client) => client.text('increment')))).toEqual([
      `${round}`,
      `${round}`,
    ]);
  }
  expect(await Promise.all(clients.map((client) => client.text('pid')))).toEqual(pids);
});

test('who connects while no worker is there waits, and is not refused', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  process.kill(workerOf(proxy), 'SIGKILL');
  await until(() => proxy.stderr.includes('ended by SIGKILL'));
  const { hostname, port } = new URL(proxy.url);
  const socket = connect(Number(port), hostname);
  const [answer] = await Promise.all([
    new Promise<string>((resolve, reject) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.once('error', reject);
    }),
    new Promise<void>((resolve) => {
      socket.write(`GET /health HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: close\r\n\r\n`, () =>
        resolve(),
      );
    }),
  ]);
  expect(answer).toMatch(/^HTTP\/1\.1 200/);
  socket.destroy();
});

test('SIGHUP puts a new worker in the place of the old one: same servers, calls under way end well', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  expect(await client.text('increment')).toBe('1');
  const before = workerOf(proxy);
  const resume = await begin(client, 3000, 'slow');
  process.kill(proxy.pid, 'SIGHUP');
  await until(() => proxy.stderr.includes('goes on where the last one ended'));
  expect(workerOf(proxy)).not.toBe(before);
  expect(runs(before)).toBe(false);
  const [answer] = await client.read(await client.stream(resume));
  expect(textOf(answer ?? {})).toBe('slept 3000');
  expect(await client.text('increment')).toBe('2');
});

test('when the keeper is killed, worker and servers are gone within moments, and the next start restores from the store', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const [worker, server] = [workerOf(proxy), Number(await client.text('pid'))];
  await proxy.kill();
  await until(() => !runs(worker) && !runs(server));

  await using second = await ProxyProcess.start(folder, config);
  expect(await new RawClient(second.url, client.session).text('get')).toMatch(/lost.*\n0$/s);
});

test('a worker that dies again and again is given up with a reason, and nothing is left behind', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const server = Number(await client.text('pid'));
  for (let death = 1; death <= 5; death++) {
    await until(() => childrenOf(proxy.pid).some(({ command }) => command.includes('main.js worker')));
    process.kill(workerOf(proxy), 'SIGKILL');
    await until(() => proxy.stderr.split('was ended by SIGKILL').length > death);
  }
  expect(await proxy.exited).toEqual({ code: 1, signal: null });
  expect(proxy.stderr).toMatch(/giving up/);
  await until(() => !runs(server));
});

test('SIGTERM ends everything in order', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const [worker, server] = [workerOf(proxy), Number(await client.text('pid'))];
  await killWorker(proxy);
  expect(await proxy.stop()).toEqual({ code: 0, signal: null });
  expect([runs(worker), runs(server)]).toEqual([false, false]);
});

test('with --no-keeper there is one process', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config, { args: ['--no-keeper'] });
  const client = await RawClient.open(proxy.url);
  const server = Number(await client.text('pid'));
  expect(childrenOf(proxy.pid).map(({ pid }) => pid)).toContain(server);
});
