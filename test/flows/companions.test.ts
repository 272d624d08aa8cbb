import { expect, test } from 'vitest';
import { runs } from '../support/child.js';
import { RawClient, textOf } from '../support/client.js';
import { fixture, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { killWorker } from '../support/worker.js';

const PORT = '${companion.count.port}';
const NOTE = 'The count is as it was.';

/** A server that asks a count beside it. */
function counting(companion: Record<string, unknown> = {}, more: Record<string, unknown> = {}) {
  const count = {
    command: process.execPath,
    args: [fixture('keeps-count'), PORT],
    ready: { http: `http://127.0.0.1:${PORT}/get` },
    note: NOTE,
    ...companion,
  };
  const server = local('asks-count', { companions: { count }, ...more }, [`http://127.0.0.1:${PORT}`]);
  return { servers: { one: server } };
}

const SAVED = {
  checkpoint: {
    after: ['increment'],
    calls: [{ tool: 'get', capture: { count: { regex: '^\\d+$', as: 'number' } } }],
  },
  restore: { calls: [{ tool: 'set', if: 'capture.count', args: { count: '${capture.count}' } }] },
};

const pidsOf = async (client: RawClient) => ({
  server: Number(await client.text('pid')),
  companion: Number(await client.text('keeper')),
});

/** Kills one process; resolves when the proxy has noticed. */
async function kill(proxy: ProxyProcess, pid: number): Promise<void> {
  const noticed = () => proxy.stderr.split(/The (?:server|companion) was ended by SIGKILL/).length;
  const before = noticed();
  process.kill(pid, 'SIGKILL');
  await until(() => noticed() > before);
}

test.each([
  ['http', { http: `http://127.0.0.1:${PORT}/get` }],
  ['tcp', { tcp: PORT }],
  ['line', { line: '^keeping count on \\d+$' }],
])('a companion that shows by %s that it is ready is there at the first call', async (_, ready) => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({ ready }));
  const client = await RawClient.open(proxy.url);
  expect(await client.text('increment')).toBe('1');
});

test('the companion goes on when its server is killed, and the next result says what is still there', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({}, SAVED));
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const { server, companion } = await pidsOf(client);
  await kill(proxy, server);
  const answer = await client.call('increment');
  expect(textOf(answer)).toBe(
    '[mcp-session-proxy] Server "one" was ended by SIGKILL and was started anew for this call. Beside it "count" ' +
      `went on, with all that is held there. ${NOTE}\n2`,
  );
  expect(answer.result?._meta).toMatchObject({
    'mcp-session-proxy/session': {
      lost: [{ server: 'one', reason: 'was ended by SIGKILL', restored: { kept: ['count'], note: NOTE } }],
    },
  });
  const now = await pidsOf(client);
  expect(now.companion).toBe(companion);
  expect(now.server).not.toBe(server);
});

test('a companion that dies takes its server along, and both are started anew for the next call', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting());
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const { server, companion } = await pidsOf(client);
  await kill(proxy, companion);
  await until(() => !runs(server));
  expect(await client.text('get')).toMatch(
    /Server "one" was stopped because its companion "count" was ended by SIGKILL and was started anew.*is lost.*\n0$/,
  );
  const now = await pidsOf(client);
  expect(now.companion).not.toBe(companion);
});

test('what was saved is brought back into a companion that was started anew, and only then', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({}, SAVED));
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  await client.text('increment');
  const { server, companion } = await pidsOf(client);
  await kill(proxy, companion);
  await until(() => !runs(server));
  expect(await client.text('get')).toMatch(/session restored at .*\n2$/);
});

test('after a restore that failed nobody is told that all went on: the next try begins with a new companion', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({}, SAVED));
  const client = await RawClient.open(proxy.url);
  await client.text('set', { count: 12 });
  await client.text('increment'); // 13, which the server takes back no more
  const { server, companion } = await pidsOf(client);
  await kill(proxy, companion);
  await until(() => !runs(server));
  for (let time = 1; time <= 2; time++)
    expect(await client.text('get')).toMatch(/could not be restored: .*unlucky/);
  expect(await client.text('get')).toMatch(/is given up after 3 attempts/);
  expect(await client.text('get')).toMatch(/is lost.*\n0$/s);
});

test('every session has a companion and a port of its own, and none is left when the session is closed', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting());
  const clients = await Promise.all([RawClient.open(proxy.url), RawClient.open(proxy.url)]);
  await Promise.all(clients.map((client) => client.text('increment')));
  const [one, two] = await Promise.all(clients.map(pidsOf));
  expect(one?.companion).not.toBe(two?.companion);
  expect(await Promise.all(clients.map((client) => client.text('get')))).toEqual(['1', '1']);
  await clients[0]?.delete();
  await until(() => !runs(one?.companion ?? 0) && !runs(one?.server ?? 0));
  expect(await clients[1]?.text('get')).toBe('1');
});

test('sessions that share a server share its companion, which lives as long as one of them', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({}, { scope: 'shared' }));
  const clients = await Promise.all([RawClient.open(proxy.url), RawClient.open(proxy.url)]);
  const [one, two] = await Promise.all(clients.map(pidsOf));
  expect(one).toEqual(two);
  await clients[0]?.delete();
  expect(await clients[1]?.text('increment')).toBe('1');
  await clients[1]?.delete();
  await until(() => !runs(one?.companion ?? 0));
});

test('who begins with a shared server while its last session ends has a companion that stays', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting({}, { scope: 'shared' }));
  const [one, two] = await Promise.all([RawClient.open(proxy.url), RawClient.open(proxy.url)]);
  for (let [leaving, coming] = [one, two], round = 1; round <= 5; round++) {
    await leaving.text('increment');
    const [, first] = await Promise.all([leaving.delete(), coming.text('keeper')]);
    const pid = Number(/\d+$/.exec(first)?.[0]);
    expect(await coming.text('keeper')).toBe(String(pid));
    expect(runs(pid)).toBe(true);
    [leaving, coming] = [coming, await RawClient.open(proxy.url)];
  }
});

test('no companion is left after an ordered stop of the proxy, nor after kill -9 of it', async () => {
  using folder = new TemporaryFolder();
  for (const end of ['stop', 'kill'] as const) {
    await using proxy = await ProxyProcess.start(folder, counting());
    const client = await RawClient.open(proxy.url);
    const { companion } = await pidsOf(client);
    await proxy[end]();
    await until(() => !runs(companion));
  }
});

test('the companion goes on under the next worker, which hears of its end and keeps it over that of the server', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting());
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const before = await pidsOf(client);
  await killWorker(proxy);
  expect(await client.text('increment')).toBe('2');
  expect(await pidsOf(client)).toEqual(before);
  await kill(proxy, before.server);
  expect(await client.text('increment')).toMatch(/"count" went on.*\n3$/);
  const { server, companion } = await pidsOf(client);
  expect(companion).toBe(before.companion);
  await kill(proxy, companion);
  await until(() => !runs(server));
  expect(await client.text('get')).toMatch(/its companion "count" was ended by SIGKILL.*\n0$/);
});

test('the companion outlives its server and the worker that die together', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, counting());
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const { server, companion } = await pidsOf(client);
  process.kill(server, 'SIGKILL');
  await killWorker(proxy);
  await until(() => !runs(server));
  expect(await client.text('increment')).toMatch(/went on.*\n2$/s);
  expect((await pidsOf(client)).companion).toBe(companion);
});

test('another configuration of the server for one session leaves its companion alone, also by its stop', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(
    folder,
    counting({}, { stop: [{ tool: 'set', args: { count: 0 } }] }),
  );
  const client = await RawClient.open(`${proxy.url}/s/work`);
  await client.text('increment');
  const { server, companion } = await pidsOf(client);
  const changed = await fetch(`${new URL(proxy.url).origin}/api/v1/sessions/work/bindings/one/reinitialize`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ env: { COLOUR: 'blue' } }),
  });
  expect(changed.status).toBe(200);
  expect(await client.text('increment')).toMatch(/"count" went on.*\n2$/);
  const now = await pidsOf(client);
  expect([now.companion, now.server === server]).toEqual([companion, false]);
});

test('a companion that cannot be started is named with its last words, and so is one that is never ready', async () => {
  using folder = new TemporaryFolder();
  for (const [companion, words] of [
    [
      { args: [fixture('keeps-count'), 'fails'] },
      /Companion "count" of server "one" could not be started: it left before it was ready\. It exited with code 1\. Last lines of its stderr:\nno count can be kept here/,
    ],
    [
      { args: [fixture('keeps-count'), 'sleeps'], startTimeout: '300ms' },
      /could not be started: it was not ready within 300ms \(startTimeout\)/,
    ],
    [
      { command: 'no-such-program' },
      /Companion "count" of server "one" cannot be started: the command "no-such-program" was not found\. Check servers\.one\.companions\.count\.command and cwd\./,
    ],
    [{ args: ['${companion.cuont.port}'] }, /servers\.one\.companions\.count: unknown placeholder/],
  ] as const) {
    await using proxy = await ProxyProcess.start(folder, counting(companion));
    const client = await RawClient.open(proxy.url);
    const answer = await client.call('get');
    expect(answer.result?.isError).toBe(true);
    expect(textOf(answer)).toMatch(words);
  }
});
