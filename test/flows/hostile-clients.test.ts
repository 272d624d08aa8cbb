import Database from 'better-sqlite3';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mutations, random } from '../fixtures/mutate.mjs';
import { RawClient, textOf, type Received } from '../support/client.js';
import { StdioProxy } from '../support/stdio-proxy.js';
import { CLI, isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { counter: local('counter') } };
const PING = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' });

/** Writes bytes to the proxy's port; resolves with all it says until it closes, or until there is a whole answer. */
async function raw(url: string, bytes: string | Uint8Array): Promise<string> {
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.on('error', () => {});
  socket.write(bytes);
  socket.on('data', (chunk: Buffer) => {
    answer += chunk.toString('latin1');
    const length = /\r\nContent-Length: (\d+)\r\n/i.exec(answer)?.[1];
    const body = answer.split('\r\n\r\n').slice(1).join('\r\n\r\n');
    if (length !== undefined && body.length >= Number(length) && !answer.startsWith('HTTP/1.1 100'))
      socket.end();
  });
  await once(socket, 'close');
  return answer;
}

const statusOf = (answer: string) => Number(answer.slice(9, 12));

/** A POST by hand, so that every header and byte is the test's own choice. */
function post(headers: string[], body: string | Uint8Array = PING, path = '/mcp'): Buffer {
  const bytes = Buffer.from(body);
  const head = ['Content-Type: application/json', `Content-Length: ${bytes.length}`, ...headers];
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${head.join('\r\n')}\r\n\r\n`), bytes]);
}

function countRows(folder: TemporaryFolder, tables: string[]): Record<string, number> {
  const db = new Database(join(folder.path, 'store.db'), { readonly: true });
  try {
    return Object.fromEntries(
      tables.map((table) => [table, Number(db.prepare(`SELECT count(*) FROM ${table}`).pluck().get())]),
    );
  } finally {
    db.close();
  }
}

/** Samples of everything a client may send. */
const SAMPLES = [
  {
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'echo', arguments: { text: 'x' }, _meta: { progressToken: 1 } },
  },
  { jsonrpc: '2.0', id: 'a', method: 'tools/list', params: {} },
  { jsonrpc: '2.0', id: 2, method: 'ping' },
  { jsonrpc: '2.0', id: 3, method: 'resources/subscribe', params: { uri: 'a:b' } },
  {
    jsonrpc: '2.0',
    id: 4,
    method: 'completion/complete',
    params: { ref: { type: 'ref/prompt', name: 'x' }, argument: { name: 'a', value: 'b' } },
  },
  { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } },
  { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } },
  { jsonrpc: '2.0', id: 5, result: {} },
  { jsonrpc: '2.0', id: 6, error: { code: 1, message: 'x' } },
  { jsonrpc: '2.0', id: 7, method: 'logging/setLevel', params: { level: 'info' } },
  {
    jsonrpc: '2.0',
    id: 8,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
  },
  { jsonrpc: '2.0', id: 9, method: 'tasks/get', params: { taskId: 't' } },
];

// -- who may call ------------------------------------------------------------------------------------------------

test('ten thousand initializes with a foreign Host leave no row in the store and no child', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const { hostname, port } = new URL(proxy.url);
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  const statuses = new Map<number, number>();
  const initialize = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  const refused = () =>
    new Promise<void>((resolve, reject) => {
      const headers = { Host: 'rebound.example', 'Content-Type': 'application/json' };
      const sent = request({ hostname, port, path: '/mcp', method: 'POST', agent, headers }, (response) => {
        const status = response.statusCode ?? 0;
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        response.resume().on('end', resolve);
      });
      sent.on('error', reject).end(initialize);
    });
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let i = 0; i < 1250; i++) await refused();
    }),
  );
  agent.destroy();
  expect(Object.fromEntries(statuses)).toEqual({ 403: 10_000 });
  expect(countRows(folder, ['sessions', 'attachments', 'outbox', 'events', 'children'])).toEqual({
    sessions: 0,
    attachments: 0,
    outbox: 0,
    events: 0,
    children: 0,
  });
});

test('foreign Hosts and Origins are refused on every path and method, and loopback ones are not', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const session = `Mcp-Session-Id: ${client.session}`;
  const own = 'Host: localhost';
  const foreign = [
    ['Host: rebound.example'],
    ['Host: localhost.'],
    ['Host: localhost.rebound.example'],
    ['Host: rebound.example:80'],
    ['Host: user@localhost'],
    ['Host: 0.0.0.0'],
    ['Host: [::]'],
    ['Host: [::ffff:127.0.0.1]'],
    ['Host: 2130706433'],
    ['Host: 127.1'],
    ['Host: localhost:1:2'],
    ['Host: '],
    [own, 'Host: rebound.example'],
    ['Host: rebound.example', own],
    [own, 'Origin: null'],
    [own, 'Origin: http://rebound.example'],
    [own, 'Origin: http://localhost.rebound.example'],
    [own, 'Origin: http://localhost@rebound.example'],
    [own, 'Origin: http://localhost, http://rebound.example'],
    [own, 'Origin: http://localhost', 'Origin: http://rebound.example'],
    [own, 'Origin: file://'],
    [own, 'Origin: localhost'],
    [own, 'Origin: '],
    [own, 'Origin: chrome-extension://abc'],
  ];
  for (const headers of foreign) {
    for (const path of ['/mcp', '/nowhere']) {
      const answer = await raw(proxy.url, post([...headers, session], PING, path));
      expect([headers, path, statusOf(answer)]).toEqual([headers, path, 403]);
    }
    for (const method of ['GET', 'DELETE', 'OPTIONS', 'PUT']) {
      const answer = await raw(
        proxy.url,
        `${method} /mcp HTTP/1.1\r\n${headers.join('\r\n')}\r\n${session}\r\n\r\n`,
      );
      expect([headers, method, statusOf(answer)]).toEqual([headers, method, 403]);
    }
  }
  // A container's probe calls by an address; a page still does not.
  for (const path of ['/health', '/ready']) {
    const probe = (origin = '') =>
      raw(proxy.url, `GET ${path} HTTP/1.1\r\nHost: 10.1.2.3:8808\r\nConnection: close\r\n${origin}\r\n`);
    expect([path, statusOf(await probe())]).toEqual([path, 200]);
    expect([path, statusOf(await probe('Origin: http://rebound.example\r\n'))]).toEqual([path, 403]);
  }
  for (const headers of [
    [own],
    ['Host: LOCALHOST:1'],
    ['Host: 127.0.0.1'],
    ['Host: [::1]:8808'],
    [own, 'Origin: http://localhost:5173'],
    [own, 'Origin: https://127.0.0.1'],
  ]) {
    expect([headers, statusOf(await raw(proxy.url, post([...headers, session])))]).toEqual([headers, 200]);
  }
});

test('what is not a request for the endpoint gets the HTTP status that says so', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const session = { 'Mcp-Session-Id': client.session ?? '' };
  const put = await fetch(proxy.url, { method: 'PUT', headers: session, body: PING });
  expect([put.status, put.headers.get('allow')]).toEqual([405, 'GET, POST, DELETE']);
  const options = await fetch(proxy.url, { method: 'OPTIONS', headers: session });
  expect(options.headers.get('access-control-allow-origin')).toBeNull();
  const elsewhere = await fetch(new URL('/nowhere', proxy.url), { method: 'POST', body: PING });
  expect(elsewhere.status).toBe(404);
  const plain = await fetch(proxy.url, {
    method: 'POST',
    headers: { ...session, 'Content-Type': 'text/plain' },
    body: PING,
  });
  expect(plain.status).toBe(415);
  const get = await fetch(proxy.url, { headers: { ...session, Accept: 'application/json' } });
  expect(get.status).toBe(406);
  const version = await client.post(PING, { 'MCP-Protocol-Version': '1999-01-01' });
  expect([version.status, ((await version.json()) as Received).error?.code]).toEqual([400, -32022]);
});

test('oversize headers, smuggled lengths and broken request lines end their own connection alone', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const host = `Host: localhost\r\nMcp-Session-Id: ${client.session}`;
  const broken: [string, string | Uint8Array, number][] = [
    ['headers of 17 KB', post([host, `X-Long: ${'x'.repeat(17_000)}`]), 431],
    ['a path of 17 KB', post([host], PING, `/${'x'.repeat(17_000)}`), 431],
    [
      'length and chunks',
      `POST /mcp HTTP/1.1\r\n${host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'two lengths',
      `POST /mcp HTTP/1.1\r\n${host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}`,
      400,
    ],
    ['a bare line feed', `POST /mcp HTTP/1.1\n${host}\n\n`, 400],
    ['a folded header', `POST /mcp HTTP/1.1\r\n${host}\r\nX: a\r\n b\r\n\r\n`, 400],
    ['a NUL in a header', `POST /mcp HTTP/1.1\r\n${host}\r\nX: a\0b\r\n\r\n`, 400],
    ['no Host', 'POST /mcp HTTP/1.1\r\nContent-Length: 0\r\n\r\n', 400],
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex'), 400],
  ];
  for (const [what, bytes, status] of broken)
    expect([what, statusOf(await raw(proxy.url, bytes))]).toEqual([what, status]);
  expect(await client.text('get')).toBe('1');
});

// -- bodies ------------------------------------------------------------------------------------------------------

test('a body over the limit gets 413 before it is read, counted or announced, and the session goes on', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { ...config, listen: { maxBody: '64KiB' } });
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const host = `Host: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: ${client.session}`;
  const announced = await raw(
    proxy.url,
    `POST /mcp HTTP/1.1\r\n${host}\r\nContent-Length: 1000000000\r\n\r\n`,
  );
  const block = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
  const counted = await raw(
    proxy.url,
    `POST /mcp HTTP/1.1\r\n${host}\r\nTransfer-Encoding: chunked\r\n\r\n${block}1\r\nx\r\n`,
  );
  for (const answer of [announced, counted]) {
    expect(statusOf(answer)).toBe(413);
    expect(answer).toMatch(/"code":-32600.*listen\.maxBody/);
    expect(answer).toMatch(/\r\nConnection: close\r\n/i);
  }
  expect(await client.text('echo', { text: 'y'.repeat(60_000) })).toBe('y'.repeat(60_000));
  expect(await client.text('get')).toBe('1');
});

test('every malformed body gets a JSON-RPC error of its own, and a call in flight beside it is answered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const slow = neighbour.text('sleep', { ms: 500 });
  const bodies: [string, string | Uint8Array, number][] = [
    ['nothing', '', -32700],
    ['half JSON', '{"jsonrpc":"2.0","id":1,', -32700],
    ['two values', `${PING}${PING}`, -32700],
    ['JavaScript', "{jsonrpc:'2.0'}", -32700],
    ['a trailing comma', '{"jsonrpc":"2.0","id":1,"method":"ping",}', -32700],
    ['NaN', '{"jsonrpc":"2.0","id":NaN,"method":"ping"}', -32700],
    [
      'invalid UTF-8',
      Buffer.concat([
        Buffer.from('{"jsonrpc":"2.0","id":1,"method":"'),
        Buffer.from([0xff, 0xc0]),
        Buffer.from('"}'),
      ]),
      -32700,
    ],
    ['UTF-16', Buffer.from(PING, 'utf16le'), -32700],
    ['null', 'null', -32600],
    ['a number', '1', -32600],
    ['a text', '"ping"', -32600],
    ['an empty object', '{}', -32600],
    ['no version', '{"id":1,"method":"ping"}', -32600],
    ['another version', '{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600],
    ['a number for a version', '{"jsonrpc":2.0,"id":1,"method":"ping"}', -32600],
    ['a method that is no text', '{"jsonrpc":"2.0","id":1,"method":1}', -32600],
    ['params that are a list', '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600],
    ['params that are null', '{"jsonrpc":"2.0","id":1,"method":"ping","params":null}', -32600],
    ['a request that is a response', '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', -32600],
    ['result and error', '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}', -32600],
    ['neither of them', '{"jsonrpc":"2.0","id":1}', -32600],
    ['an error that is a text', '{"jsonrpc":"2.0","id":1,"error":"x"}', -32600],
    ['a key in capitals', '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', -32600],
    ['a batch', `[${PING}]`, -32600],
    ['an empty batch', '[]', -32600],
  ];
  for (const [what, body, code] of bodies) {
    const response = await client.post(body);
    const { error, id } = (await response.json()) as Received;
    expect([what, response.status, error?.code, typeof error?.message, id]).toEqual([
      what,
      400,
      code,
      'string',
      null,
    ]);
  }
  expect(await slow).toBe('slept 500');
  expect(await client.text('increment')).toBe('1');
});

test('ids that are strings or integers come back as they were, and all others are refused', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const call = (id: string) =>
    client.post(
      `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"echo","arguments":{"text":"x"}}}`,
    );
  for (const id of [
    '0',
    '-1',
    '1',
    '9007199254740991',
    '-9007199254740991',
    '""',
    '"1"',
    '"__proto__"',
    '"\\ud800"',
    '"\\u0000\\n"',
    `"${'i'.repeat(10_000)}"`,
  ]) {
    const [answer] = await client.read(await call(id));
    expect(answer?.id).toBe(JSON.parse(id));
    expect(textOf(answer ?? {})).toBe('x');
  }
  for (const id of ['null', 'true', '1.5', '9007199254740992', '1e400', '{}', '[]', '[1]']) {
    const response = await call(id);
    expect([id, response.status, ((await response.json()) as Received).error?.code]).toEqual([
      id,
      400,
      -32600,
    ]);
  }
});

test('a batch of 2025-03-26 is answered in one array, and a bad one is refused whole', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = new RawClient(proxy.url);
  client.version = '2025-03-26';
  await client.initialize();
  const call = (id: number | string, name: string, args = {}) => ({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name, arguments: args },
  });
  const answers = await client.read(
    await client.post([
      call(1, 'sleep', { ms: 50 }),
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'nobody' } },
      call('1', 'echo', { text: 'second' }),
      { jsonrpc: '2.0', id: 3, method: 'no/such' },
      { jsonrpc: '2.0', id: 4, method: 'ping' },
      call(1, 'echo', { text: 'a twin' }),
    ]),
  );
  expect(answers.map(({ id }) => id)).toEqual([1, '1', 3, 4, 1]);
  expect(answers.map(textOf)).toEqual([
    'slept 50',
    'second',
    expect.stringMatching(/^error -32601/),
    '',
    'a twin',
  ]);
  const quiet = await client.post([{ jsonrpc: '2.0', method: 'notifications/initialized' }]);
  expect([quiet.status, await quiet.text()]).toEqual([202, '']);
  const ping = (id: number) => ({ jsonrpc: '2.0', id, method: 'ping' });
  for (const bad of [
    [],
    Array.from({ length: 1000 }, (_, id) => ping(id)),
    [ping(1), { jsonrpc: '2.0', id: 2, method: 'initialize', params: {} }],
    [ping(1), 7],
    [ping(1), [ping(2)]],
  ]) {
    const response = await client.post(bad);
    expect([response.status, ((await response.json()) as Received).error?.code]).toEqual([400, -32600]);
  }
  expect(await client.text('increment')).toBe('1');
});

test('a client that takes JSON alone, or names nothing it takes, gets JSON', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  for (const accept of ['application/json', 'application/json;q=0.9', '']) {
    const call = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'sleep', arguments: { ms: 60 } },
    };
    const response = await client.post(call, { Accept: accept });
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(textOf((await response.json()) as Received)).toBe('slept 60');
  }
});

// -- connections -------------------------------------------------------------------------------------------------

test('half-sent headers and bodies hold nobody else up, whether they stay, end or are reset', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const { port, hostname } = new URL(proxy.url);
  const half = post([`Host: localhost`, `Mcp-Session-Id: ${client.session}`]);
  const sockets = await Promise.all(
    Array.from({ length: 300 }, async (_, i) => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {}).resume();
      await once(socket, 'connect');
      socket.write(half.subarray(0, i % 2 ? 30 : half.length - 5));
      return socket;
    }),
  );
  expect(await Promise.all(Array.from({ length: 50 }, () => client.text('get')))).toEqual(
    Array(50).fill('1'),
  );
  sockets.forEach((socket, i) => (i % 3 ? socket.resetAndDestroy() : socket.end()));
  expect(await client.text('get')).toBe('1');
});

test('a client that hangs up in the middle of its call disturbs neither the call nor anybody else', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  await client.text('get');
  const slow = neighbour.text('sleep', { ms: 400 });
  const hangUp = async (accept: string, tool: string, args: object) => {
    const abort = new AbortController();
    const call = fetch(proxy.url, {
      method: 'POST',
      signal: abort.signal,
      headers: { 'Content-Type': 'application/json', Accept: accept, 'Mcp-Session-Id': client.session ?? '' },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: tool, arguments: args },
      }),
    });
    // A stream begins while the call goes on; JSON comes at its end only.
    if (accept.includes('event-stream')) await call;
    else await new Promise((resolve) => setTimeout(resolve, 30));
    abort.abort();
    await call.then((response) => response.text()).catch(() => {});
  };
  const both = 'application/json, text/event-stream';
  await Promise.all([
    ...Array.from({ length: 20 }, () => hangUp(both, 'sleep', { ms: 200 })),
    ...Array.from({ length: 20 }, () => hangUp('application/json', 'sleep', { ms: 200 })),
    ...Array.from({ length: 20 }, () => hangUp(both, 'increment', {})),
  ]);
  expect(await slow).toBe('slept 400');
  // Hanging up is no cancellation: each of the calls was carried out once.
  expect(await client.text('get')).toBe('20');
  expect(await neighbour.text('get')).toBe('0');
});

// -- noise -------------------------------------------------------------------------------------------------------

test('thousands of mutated messages over HTTP are each answered, and leave the neighbours as they were', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { counter: local('counter'), twice: local('answers-twice') },
  });
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  await neighbour.text('counter__increment');
  const statuses = new Set<number>();
  const lines = mutations(SAMPLES, 1, 3000);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const line of lines) {
        const response = await client.post(line);
        statuses.add(response.status);
        for (const message of await client.read(response)) expect(message).toMatchObject({ jsonrpc: '2.0' });
      }
    }),
  );
  expect([...statuses].sort()).toEqual([200, 202, 400]);
  expect(await neighbour.text('counter__get')).toBe('1');
  expect(await client.text('twice__echo', { text: 'still here' })).toBe('still here');
});

test('thousands of requests with bytes changed at random leave the proxy as it was', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const { port, hostname } = new URL(proxy.url);
  const next = random(2);
  const lines = mutations(SAMPLES, 2, 2000);
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const line of lines) {
        const bytes = post(
          ['Host: localhost', 'Connection: close', `Mcp-Session-Id: ${client.session}`],
          line,
        );
        for (let n = next(4); n > 0; n--) bytes[next(bytes.length)] = next(256);
        const socket = connect(Number(port), hostname);
        socket.on('error', () => {}).resume();
        await once(socket, 'connect');
        if (next(8) > 0) {
          socket.end(bytes);
        } else {
          socket.write(bytes);
          socket.resetAndDestroy();
        }
        await once(socket, 'close');
      }
    }),
  );
  expect(await client.text('get')).toBe('1');
});

// -- stdio -------------------------------------------------------------------------------------------------------

test('on a pipe, stdout holds the protocol and nothing else, whatever servers write and log', async () => {
  using folder = new TemporaryFolder();
  using proxy = new StdioProxy(folder, { noisy: local('noisy-stdout'), exits: local('exits-on-call') }, [
    '--log-level',
    'trace',
  ]);
  await proxy.initialize();
  expect(await proxy.text(1, 'noisy__echo', { text: 'through the noise' })).toBe('through the noise');
  expect(await proxy.text(2, 'exits__exit', { words: ['last words'] })).toMatch(/exited with code 3/);
  expect(await proxy.end()).toEqual({ code: 0, signal: null });
  for (const message of proxy.messages) expect(message).toMatchObject({ jsonrpc: '2.0' });
  expect(proxy.messages.map(({ id }) => id)).toEqual(['init', 1, 2]);
});

test('on a pipe, a second request with an id under way is refused, and the first one is answered', async () => {
  using folder = new TemporaryFolder();
  using proxy = new StdioProxy(folder, config.servers);
  await proxy.initialize();
  const call = (text: string, ms: number) =>
    JSON.stringify({
      jsonrpc: '2.0',
      id: 7,
      method: 'tools/call',
      params: { name: 'sleep', arguments: { ms, text } },
    });
  proxy.write(call('first', 300));
  proxy.write(call('second', 0));
  await until(() => proxy.messages.filter(({ id }) => id === 7).length === 2);
  const [refused, answered] = proxy.messages.filter(({ id }) => id === 7);
  expect(refused?.error?.code).toBe(-32600);
  expect(textOf(answered ?? {})).toBe('slept 300');
  expect(await proxy.text('7', 'echo', { text: 'a text is another id' })).toBe('a text is another id');
  // Once it is answered, the id is free again.
  proxy.write(call('third', 1));
  await until(() => proxy.messages.filter(({ id }) => id === 7).length === 3);
  await proxy.end();
});

test('on a pipe, malformed lines are answered one by one and the session goes on', async () => {
  using folder = new TemporaryFolder();
  using proxy = new StdioProxy(folder, config.servers, [], { listen: { maxBody: '64KiB' } });
  proxy.write(PING);
  expect((await proxy.next(({ id }) => id === 1)).error?.message).toMatch(/initialize/);
  await proxy.initialize();
  const before = proxy.messages.length;
  const lines: [string | Uint8Array, number][] = [
    ['hello', -32700],
    ['{"jsonrpc":"2.0","id":1', -32700],
    [Buffer.from([0x22, 0xff, 0xfe, 0x22]), -32700],
    [`[${PING}]`, -32600],
    ['[]', -32600],
    ['null', -32600],
    ['{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600],
    ['{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600],
    [`{"jsonrpc":"2.0","id":2,"method":"ping","params":{"x":"${'x'.repeat(70_000)}"}}`, -32600],
  ];
  for (const [line] of lines) proxy.write(line);
  await until(() => proxy.messages.length === before + lines.length);
  expect(proxy.messages.slice(before).map(({ error }) => error?.code)).toEqual(lines.map(([, code]) => code));
  expect(await proxy.text('ok', 'increment')).toBe('1');
  await proxy.end();
});

test('on a pipe, thousands of mutated lines leave the session as it was', async () => {
  using folder = new TemporaryFolder();
  using proxy = new StdioProxy(folder, { counter: local('counter'), twice: local('answers-twice') });
  await proxy.initialize();
  expect(await proxy.text('before', 'counter__increment')).toBe('1');
  for (const line of mutations(SAMPLES, 3, 3000)) proxy.write(line);
  expect(await proxy.text('after', 'counter__get')).toBe('1');
  for (const message of proxy.messages) expect(message).toMatchObject({ jsonrpc: '2.0' });
  expect(await proxy.end()).toEqual({ code: 0, signal: null });
});

test('the end of input ends the process with exit 0 and leaves no child, also when nothing was ever said', async () => {
  using folder = new TemporaryFolder();
  using silent = new StdioProxy(folder, config.servers);
  expect(await silent.end()).toEqual({ code: 0, signal: null });
  using proxy = new StdioProxy(folder, config.servers);
  await proxy.initialize();
  const pid = Number(await proxy.text(1, 'pid'));
  proxy.write(
    JSON.stringify({
      jsonrpc: '2.0',
      id: 2,
      method: 'tools/call',
      params: { name: 'sleep', arguments: { ms: 200 } },
    }),
  );
  expect(await proxy.end()).toEqual({ code: 0, signal: null });
  expect(isAlive(pid)).toBe(false);
  // What was asked before the end was answered before it.
  expect(proxy.messages.map(({ id }) => id)).toEqual(['init', 1, 2]);
});

test('a named session on a pipe goes on in the next run, while another run has a session of another name', async () => {
  using folder = new TemporaryFolder();
  using first = new StdioProxy(folder, config.servers, ['--session', 'work']);
  using other = new StdioProxy(folder, config.servers, ['--session', 'play']);
  await Promise.all([first.initialize(), other.initialize()]);
  expect(await first.text(1, 'increment')).toBe('1');
  expect(await other.text(1, 'get')).toBe('0');
  const { result } = await first.request(2, 'tools/call', { name: 'pid', arguments: {} });
  expect(await first.end()).toEqual({ code: 0, signal: null });

  using again = new StdioProxy(folder, config.servers, ['--session', 'work']);
  await again.initialize();
  const resumed = await again.request(1, 'tools/call', { name: 'get', arguments: {} });
  expect(textOf(resumed)).toMatch(/Server "counter" .* lost.*\n0$/s);
  const meta = (message: Received['result']) =>
    (message?._meta as Record<string, { id?: string }>)['mcp-session-proxy/session'];
  expect(meta(resumed.result)?.id).toBe(meta(result)?.id);
  expect(await other.text(2, 'increment')).toBe('1');
  expect(await Promise.all([again.end(), other.end()])).toEqual(Array(2).fill({ code: 0, signal: null }));
});

test('a session that another process has under its hands is refused to a second one', async () => {
  using folder = new TemporaryFolder();
  using first = new StdioProxy(folder, config.servers, ['--session', 'work']);
  await first.initialize();
  expect(await first.text(1, 'increment')).toBe('1');
  using second = new StdioProxy(folder, config.servers, ['--session', 'work']);
  expect((await second.initialize()).error?.message).toMatch(/in use by another/);
  expect(await first.text(2, 'increment')).toBe('2');
  await Promise.all([first.end(), second.end()]);
});

// -- the command line --------------------------------------------------------------------------------------------

async function run(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return {
    code,
    stderr,
    complaints: stderr.split('\n').filter((line) => line.startsWith('mcp-session-proxy: ')),
  };
}

test('a port that is taken ends a second proxy with exit code 2 and one message', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  await client.text('increment');
  const file = join(folder.path, 'mcp-proxy.yaml');
  const second = await run(['serve', '--config', file, '--http', new URL(proxy.url).host]);
  expect([second.code, second.complaints.length]).toEqual([2, 1]);
  expect(second.complaints[0]).toMatch(/Port \d+ .*in use/);
  expect(second.stderr).not.toMatch(/ {4}at /);
  expect(await client.text('get')).toBe('1');
});

test('a config that cannot be used ends the proxy with exit code 2 and one message that names the place', async () => {
  using folder = new TemporaryFolder();
  const broken: [string, RegExp][] = [
    ['servers: {', /line \d+, column \d+/],
    ['', /must hold a mapping/],
    ['servers: {}', /no server is configured/],
    ['servers: { a: {} }', /servers\.a\.command/],
    ['servers: { a: { command: x, url: "http://x" } }', /servers\.a\.url/],
    ['servers: { "../a": { command: x } }', /servers\.\.\.\/a/],
    [
      'servers: { a: { command: x, env: { TOKEN: "${NOT_SET_ANYWHERE}" } } }',
      /servers\.a\.env\.TOKEN.*NOT_SET_ANYWHERE/,
    ],
    ['servers: { a: { command: x, timeouts: { call: 5 } } }', /servers\.a\.timeouts\.call/],
    ['listen: { port: http }\nservers: { a: { command: x } }', /listen\.port/],
    ['listen: { host: 0.0.0.0 }\nservers: { a: { command: x } }', /0\.0\.0\.0.*allowedHosts/s],
  ];
  for (const [text, place] of broken) {
    const { code, stderr, complaints } = await run([
      'serve',
      '--http',
      '--config',
      folder.file('bad.yaml', text),
    ]);
    expect([text, code, complaints.length]).toEqual([text, 2, 1]);
    expect(stderr).toMatch(place);
    expect(stderr).not.toMatch(/ {4}at /);
  }
  const missing = await run(['serve', '--config', join(folder.path, 'nowhere.yaml')]);
  expect([missing.code, missing.complaints.length]).toEqual([2, 1]);
});
