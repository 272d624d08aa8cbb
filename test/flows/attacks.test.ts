import Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventsOf, RawClient } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { RemoteServer } from '../support/remote.js';
import { StdioProxy } from '../support/stdio-proxy.js';

const counter = local('counter');
const config = { servers: { counter } };
const call = (id: string | number, name: string, args: object = {}) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
});

function storedIn(folder: TemporaryFolder, text: string): string[] {
  return readdirSync(folder.path)
    .filter((file) => file.startsWith('store.db'))
    .filter((file) => !file.endsWith('.d') && readFileSync(join(folder.path, file)).includes(text));
}

function query(folder: TemporaryFolder, sql: string): unknown[] {
  const db = new Database(join(folder.path, 'store.db'), { readonly: true });
  try {
    return db.prepare(sql).all();
  } finally {
    db.close();
  }
}

/** Ends a proxy that would not end by itself, so that a failing test leaves nothing behind. */
async function expectExit(proxy: ProxyProcess): Promise<void> {
  proxy.process.kill('SIGTERM');
  const late = setTimeout(() => proxy.process.kill('SIGKILL'), 20_000);
  const end = await proxy.exited;
  clearTimeout(late);
  expect(end).toEqual({ code: 0, signal: null });
}

test('whoever is no administrator cannot choose what a server is started with', async () => {
  using folder = new TemporaryFolder();
  const [token, marker] = [randomBytes(24).toString('hex'), join(folder.path, 'marker')];
  await using proxy = await ProxyProcess.start(folder, {
    ...config,
    auth: { tokens: [{ name: 'user', value: token }] },
  });
  const ask = (path: string, body: unknown) =>
    fetch(new URL(`/api/v1/sessions${path}`, proxy.url), {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  await ask('', { name: 'work' });
  const args = ['-e', `require('node:fs').writeFileSync(${JSON.stringify(marker)}, '')`];
  const { status } = await ask('/work/bindings/counter/reinitialize', { args });
  expect([status, readdirSync(folder.path).includes('marker')]).toEqual([403, false]);
});

test('after kill -9 of the proxy a server that ignores the end of its input is ended too', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { stays: local('ignores-eof') } });
  const client = await RawClient.open(proxy.url);
  const pid = Number(await client.text('pid'));
  await proxy.kill();
  try {
    const end = Date.now() + 10_000;
    await until(() => !isAlive(pid) || Date.now() > end);
    expect(isAlive(pid)).toBe(false);
  } finally {
    if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
});

test('nested JSON of a server fails its own call, and the proxy goes on', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { nests: local('nests-deeply'), counter },
  });
  const neighbour = await RawClient.open(proxy.url);
  await neighbour.text('counter__increment');
  for (const version of ['2025-11-25', '2025-06-18']) {
    const client = new RawClient(proxy.url);
    client.version = version;
    await client.initialize();
    for (const [tool, depth] of [
      ['answer', 5000],
      ['notify', 5000],
      ['answer', 200_000],
      ['notify', 200_000],
    ] as const) {
      await client.call(`nests__${tool}`, { depth }).catch(() => {});
      expect([version, tool, depth, await neighbour.text('counter__get').catch(String)]).toEqual([
        version,
        tool,
        depth,
        '1',
      ]);
    }
  }
});

test('nested JSON of a client fails its own request, and the proxy goes on', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { asks: local('asks-roots') } });
  const client = await RawClient.open(proxy.url, { roots: {} });
  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  const refused = await client.post(
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":${`{"x":${deep}}`}}}`,
  );
  expect(refused.status).toBe(400);
  const response = await client.post(call(2, 'roots'));
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'roots/list')
      await client.post(`{"jsonrpc":"2.0","id":${message.id},"result":{"roots":${deep}}}`);
  }
  expect(await client.text('echo', { text: 'still here' })).toBe('still here');
});

test(
  'a server that dies while another program holds the store costs nobody else anything',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, config);
    const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    const pid = Number(await client.text('pid'));
    await neighbour.text('increment');
    const db = new Database(join(folder.path, 'store.db'));
    db.exec('BEGIN IMMEDIATE');
    process.kill(pid, 'SIGKILL');
    await until(() => proxy.process.exitCode !== null || /busy|locked/i.test(proxy.stderr));
    db.exec('ROLLBACK');
    db.close();
    expect(await neighbour.text('get').catch(String)).toBe('1');
  },
);

test('a proxy whose stderr nobody reads any more goes on', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { noisy: local('noisy-stdout') } });
  const client = await RawClient.open(proxy.url);
  proxy.process.stderr?.destroy();
  // Both write to the log: a start, and lines that are no messages.
  expect(await client.text('echo', { text: 'one' }).catch(String)).toBe('one');
  expect(await (await RawClient.open(proxy.url)).text('echo', { text: 'two' }).catch(String)).toBe('two');
});

test(
  'a request that comes while its session is being paused leaves no server behind',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      sessions: { ttl: '1s' },
      servers: { stays: local('ignores-eof') },
    });
    const client = await RawClient.open(proxy.url);
    const before = Number(await client.text('pid'));
    // Its server is being stopped, which takes this one five seconds.
    await until(() => query(folder, 'SELECT * FROM bindings WHERE ended IS NOT NULL').length === 1);
    const after = Number((await client.text('pid')).split('\n').at(-1));
    try {
      expect(isAlive(before)).toBe(false); // never two on one folder
      await until(
        () => (query(folder, 'SELECT state FROM sessions') as { state: string }[])[0]?.state === 'paused',
      );
      expect(isAlive(after)).toBe(false); // paused: it has no server
      await expectExit(proxy);
    } finally {
      for (const pid of [before, after]) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      proxy.process.kill('SIGKILL');
    }
  },
);

test(
  'SIGTERM ends the proxy within its grace although a server does not answer initialize',
  { timeout: 40_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { hangs: local('never-initializes') } });
    new RawClient(proxy.url).initialize().catch(() => {});
    await until(() => query(folder, 'SELECT * FROM children').length === 1);
    await expectExit(proxy);
  },
);

for (const [what, tool, list] of [
  ['in a read-only call', 'look', true],
  ['in a call, its list never asked for', 'hang', false],
] as const) {
  test(
    `SIGTERM ends the proxy within its grace although a server hangs ${what}`,
    { timeout: 40_000 },
    async () => {
      using folder = new TemporaryFolder();
      await using proxy = await ProxyProcess.start(folder, { servers: { hangs: local('never-answers') } });
      const client = await RawClient.open(proxy.url);
      if (list) await client.request('tools/list');
      await client.text('pid');
      client.call(tool).catch(() => {});
      await client.text('pid');
      await expectExit(proxy);
    },
  );
}

test(
  'SIGTERM ends the proxy within its grace although a server of scope call hangs',
  { timeout: 40_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { hangs: local('never-answers', { scope: 'call' }) },
    });
    const client = await RawClient.open(proxy.url);
    await until(() => query(folder, 'SELECT * FROM children').length === 0);
    client.call('hang').catch(() => {});
    await until(() => query(folder, 'SELECT * FROM children').length === 1);
    await expectExit(proxy);
  },
);

test(
  'SIGTERM ends the proxy although a process out of reach holds the pipes of a server',
  { timeout: 40_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { outlives: local('outlives-group') } });
    const client = await RawClient.open(proxy.url);
    const daemon = Number((await client.text('pids')).split(' ')[1]);
    try {
      await expectExit(proxy);
    } finally {
      process.kill(daemon, 'SIGKILL');
    }
  },
);

test('SIGTERM ends a proxy on a pipe, although the pipe stays open', { timeout: 40_000 }, async () => {
  using folder = new TemporaryFolder();
  using proxy = new StdioProxy(folder, { counter });
  await proxy.initialize();
  const pid = Number(await proxy.text(1, 'pid'));
  proxy.process.kill('SIGTERM');
  const late = setTimeout(() => proxy.process.kill('SIGKILL'), 20_000);
  expect(await proxy.exited).toEqual({ code: 0, signal: null });
  clearTimeout(late);
  expect(isAlive(pid)).toBe(false);
});

test(
  'the end of input ends the process within the grace although a call hangs',
  { timeout: 40_000 },
  async () => {
    using folder = new TemporaryFolder();
    using proxy = new StdioProxy(folder, { hangs: local('never-answers') });
    await proxy.initialize();
    const pid = Number(await proxy.text(1, 'pid'));
    proxy.write(JSON.stringify(call(2, 'hang')));
    proxy.process.stdin?.end();
    const late = setTimeout(() => proxy.process.kill('SIGKILL'), 20_000);
    expect(await proxy.exited).toEqual({ code: 0, signal: null });
    clearTimeout(late);
    expect(isAlive(pid)).toBe(false);
  },
);

test('of two processes that open one named session at once, one gets it', async () => {
  using folder = new TemporaryFolder();
  // The servers are known, so that initialize starts none and the session is not taken yet.
  using earlier = new StdioProxy(folder, { counter });
  await earlier.initialize();
  await earlier.end();
  using first = new StdioProxy(folder, { counter }, ['--session', 'work']);
  using second = new StdioProxy(folder, { counter }, ['--session', 'work']);
  await Promise.all([first.initialize(), second.initialize()]);
  const texts = await Promise.all([first.text(1, 'increment'), second.text(1, 'increment')]);
  expect(texts.sort()).toEqual(['1', expect.stringMatching(/in use by another/)]);
});

for (const tool of ['hang-after-roots', 'hang-after-cancel']) {
  test(`a call has its time limit although its server asked something: ${tool}`, async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { asks: local('asks-roots', { timeouts: { call: '1s' } }) },
    });
    const client = await RawClient.open(proxy.url, { roots: {}, elicitation: {} });
    const abort = setTimeout(() => proxy.process.kill('SIGKILL'), 15_000);
    expect(await client.text(tool).catch(String)).toMatch(/did not answer within 1s/);
    clearTimeout(abort);
  });
}

test('what a shared server asks and logs in a call of one session is not put to another', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { mixes: local('mixes-questions', { scope: 'shared' }) },
  });
  const [first, second] = [
    await RawClient.open(proxy.url, { elicitation: {} }),
    await RawClient.open(proxy.url, { elicitation: {} }),
  ];
  const waiting = first.post(call(1, 'first'));
  const seen = await second.read(await second.post(call(1, 'second')));
  proxy.process.kill('SIGKILL');
  await waiting.then((response) => response.text()).catch(() => {});
  expect(seen.filter(({ method }) => method !== undefined)).toEqual([]);
});

test('a web page cannot make sessions or take streams over with a mere image', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const own = eventsOf(
    await fetch(`${proxy.url}/s/work`, {
      headers: { Accept: 'text/event-stream', 'MCP-Protocol-Version': '2025-11-25' },
    }),
  );
  await own.next();
  // What browsers send for <img src>: no Origin, no preflight.
  const headers = {
    Accept: 'image/avif,*/*;q=0.8',
    'Sec-Fetch-Site': 'cross-site',
    'Sec-Fetch-Mode': 'no-cors',
  };
  for (const name of ['work', 'made-by-a-page']) {
    const abort = new AbortController();
    const response = await fetch(`${proxy.url}/s/${name}`, { headers, signal: abort.signal });
    abort.abort();
    expect(response.status).toBe(403);
  }
  expect(query(folder, 'SELECT name FROM sessions')).toEqual([{ name: 'work' }]);
});

const canary = () => `canary-${randomBytes(20).toString('hex')}`;

test('secrets of several lines stay out of error messages', async () => {
  using folder = new TemporaryFolder();
  const lines = Array.from({ length: 8 }, canary);
  const key = ['-----BEGIN KEY-----', ...lines, '-----END KEY-----'].join('\n');
  await using proxy = await ProxyProcess.start(folder, {
    servers: { tells: local('fails-to-start', { env: { TLS_KEY: key } }, ['TLS_KEY']) },
  });
  const client = await RawClient.open(proxy.url);
  expect(await client.text('x')).not.toContain('canary');
  expect(storedIn(folder, 'canary')).toEqual([]);
  expect(proxy.stderr).not.toContain('canary');
});

test('secrets stay out of error messages that cut them', async () => {
  using folder = new TemporaryFolder();
  const [secret, cut] = [canary(), canary()];
  await using proxy = await ProxyProcess.start(folder, {
    servers: {
      exits: local('exits-on-call', { env: { API_TOKEN: secret } }),
      noisy: local('noisy-stdout', { env: { API_TOKEN: cut } }),
    },
  });
  const client = await RawClient.open(proxy.url);
  const text = await client.text('exits__exit', { words: [`${'x'.repeat(500)}${secret}${'y'.repeat(980)}`] });
  expect(text).not.toContain(secret.slice(-15));
  await client.text('noisy__say', { line: `${'x'.repeat(180)}${cut}` });
  await client.text('noisy__echo', { text: 'read' });
  expect(proxy.stderr).not.toContain(cut.slice(0, 15));
});

test('secrets stay out of what a server says when it refuses', async () => {
  using folder = new TemporaryFolder();
  const [inEnv, inHeader] = [canary(), canary()];
  using remote = await RemoteServer.start('echoes-headers');
  await using proxy = await ProxyProcess.start(folder, {
    servers: {
      refuses: local('refuses-initialize', { env: { API_TOKEN: inEnv } }),
      remote: { url: remote.url, transport: 'http', headers: { Authorization: `Bearer ${inHeader}` } },
    },
  });
  const client = await RawClient.open(proxy.url);
  const answers = JSON.stringify([await client.call('refuses__x'), await client.call('remote__x')]);
  await proxy.stop();
  for (const secret of [inEnv, inHeader]) {
    expect([answers.includes(secret), proxy.stderr.includes(secret), storedIn(folder, secret)]).toEqual([
      false,
      false,
      [],
    ]);
  }
});

test('any variable of env is a secret, whatever its name', async () => {
  using folder = new TemporaryFolder();
  const secret = canary();
  await using proxy = await ProxyProcess.start(folder, {
    servers: {
      tells: local('fails-to-start', { env: { DATABASE_URL: `postgres://u:${secret}@db/x` } }, [
        'DATABASE_URL',
      ]),
    },
  });
  const client = await RawClient.open(proxy.url);
  expect(await client.text('x')).not.toContain(secret);
});

test('no more sessions run than sessions.max, however many ask at once', { timeout: 60_000 }, async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    sessions: { max: 2 },
    servers: { stays: local('ignores-eof') },
  });
  const clients = await Promise.all(Array.from({ length: 6 }, () => RawClient.open(proxy.url)));
  for (const client of clients.slice(0, 2)) await client.text('pid');
  let most = 0;
  let done = false;
  const calls = Promise.all(clients.slice(2).map((client) => client.text('pid'))).finally(
    () => (done = true),
  );
  await until(() => {
    most = Math.max(most, query(folder, 'SELECT * FROM children').length);
    return done;
  });
  await calls;
  proxy.process.kill('SIGKILL');
  expect(most).toBeLessThanOrEqual(2);
});

test('a call that is cancelled before its server has started is not carried out', async () => {
  using folder = new TemporaryFolder();
  const gate = folder.file('gate', '');
  await using proxy = await ProxyProcess.start(folder, {
    servers: { slow: local('waits-at-gate', {}, [gate]) },
  });
  const [known, client] = [await RawClient.open(proxy.url), new RawClient(proxy.url)];
  await known.text('get'); // the server is known: initialize starts none
  await client.initialize();
  const { rmSync } = await import('node:fs');
  rmSync(gate);
  const cancelled = client.read(await client.post(call(77, 'increment')));
  await client.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 77 } });
  writeFileSync(gate, '');
  await cancelled;
  expect(await client.text('get')).toBe('0');
});

test('an excluded tool cannot be reached by a notification', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { hears: local('hears-notifications', { tools: { exclude: ['danger'] } }) },
  });
  const client = await RawClient.open(proxy.url);
  await client.text('ok');
  await client.post({ jsonrpc: '2.0', method: 'tools/call', params: { name: 'danger', arguments: {} } });
  expect(await client.text('heard')).not.toContain('tools/call');
});

test('a call whose server died and cannot be started again is told as of unknown outcome', async () => {
  using folder = new TemporaryFolder();
  const [pids, paid] = [join(folder.path, 'pids'), join(folder.path, 'paid')];
  await using proxy = await ProxyProcess.start(folder, {
    servers: { pays: local('counts-starts', {}, [pids, paid]) },
  });
  const client = await RawClient.open(proxy.url);
  const told = await client.text('pay');
  proxy.process.kill('SIGKILL');
  expect(told).toMatch(/exited with code 3 .*outcome is unknown/);
});

test('DELETE ends the stream of the client too', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const stream = eventsOf(await client.stream());
  await stream.next();
  await client.delete();
  const late = setTimeout(() => proxy.process.kill('SIGKILL'), 10_000);
  expect(await stream.next().catch(() => 'still open')).toEqual({ done: true, value: undefined });
  clearTimeout(late);
});

test('an event id ahead of its stream skips nothing that comes', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { talkative: local('talkative') } });
  const client = await RawClient.open(proxy.url);
  const first = eventsOf(await client.stream());
  const id = (await first.next()).value?.id ?? '';
  const ahead = eventsOf(await client.stream(id.replace(/-.*/, '-zzzzzzzzz')));
  await ahead.next();
  await client.text('grow');
  const late = setTimeout(() => proxy.process.kill('SIGKILL'), 10_000);
  const next = await ahead.next().catch(() => undefined);
  clearTimeout(late);
  expect(next?.value?.message?.method).toBe('notifications/tools/list_changed');
});

test('a client in the middle of a body that is too large reads the 413', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { ...config, listen: { maxBody: '64KiB' } });
  const client = await RawClient.open(proxy.url);
  const statuses: (number | string)[] = [];
  for (let i = 0; i < 30; i++) {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let n = 0; n < 160; n++) controller.enqueue(new Uint8Array(65_536));
        controller.close();
      },
    });
    const headers = { 'Content-Type': 'application/json', 'Mcp-Session-Id': client.session ?? '' };
    const init = { method: 'POST', headers, body, duplex: 'half' };
    statuses.push(await fetch(proxy.url, init as RequestInit).then((response) => response.status, String));
  }
  expect(new Set(statuses)).toEqual(new Set([413]));
});
