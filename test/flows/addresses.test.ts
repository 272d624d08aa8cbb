import { expect, test } from 'vitest';
import { RawClient } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const servers = { counter: local('counter') };
const auth = {
  tokens: [
    { name: 'alice', value: 'alices-secret-token' },
    { name: 'bob', value: 'bobs-secret-token' },
  ],
};

/** A client of that principal. */
function as(token: string, url: string): RawClient {
  const client = new RawClient(url);
  client.headers = { Authorization: `Bearer ${token}` };
  return client;
}

async function opened(client: RawClient): Promise<RawClient> {
  await client.initialize();
  return client;
}

test('P3 M16 clients that initialize for every call and delete after it share one counter at a named URL', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const counts: string[] = [];
  for (let call = 0; call < 3; call++) {
    const client = await opened(new RawClient(`${proxy.url}/s/chat-1`));
    counts.push(await client.text('increment'));
    expect((await client.delete()).status).toBe(204);
  }
  expect(counts).toEqual(['1', '2', '3']);
});

test('M1 a session is named by a header as well as by the URL, and without any id at all', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const byUrl = await opened(new RawClient(`${proxy.url}/s/work`));
  expect(await byUrl.text('increment')).toBe('1');
  const byHeader = new RawClient(proxy.url);
  byHeader.headers = { 'X-MCP-Session': 'work' };
  expect(await byHeader.text('increment')).toBe('2');
  const stale = new RawClient(`${proxy.url}/s/work`, 'an-id-of-long-ago');
  expect(await stale.text('increment')).toBe('3');
});

test('M1 the name may stand before the end of the path that some clients insist on', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const counts: string[] = [];
  for (const path of ['/s/work/mcp', '/mcp/s/work']) {
    counts.push(await (await opened(new RawClient(new URL(path, proxy.url).href))).text('increment'));
  }
  expect(counts).toEqual(['1', '2']);
  const lost = await new RawClient(new URL('/s/work/other', proxy.url).href).post({});
  expect(lost.status).toBe(404);
});

test('S9 an address that is no name is refused, and makes nothing', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  for (const address of ['%2e%2e%2fx', '%zz', 'a%00b', 'x'.repeat(300), 'a b']) {
    const response = await new RawClient(`${proxy.url}/s/${address}`).post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
    });
    expect(response.status, address).toBeGreaterThanOrEqual(400);
    expect(response.status, address).toBeLessThan(500);
  }
});

test('P5 M14 S7 two principals have a session of one name each, and neither gets into the other’s', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, auth });
  const alice = await opened(as('alices-secret-token', `${proxy.url}/s/task`));
  const bob = await opened(as('bobs-secret-token', `${proxy.url}/s/task`));
  expect([await alice.text('increment'), await alice.text('increment'), await bob.text('increment')]).toEqual(
    ['1', '2', '1'],
  );

  const thief = as('bobs-secret-token', proxy.url);
  thief.session = alice.session;
  const stolen = await thief.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  thief.session = 'unknown';
  const unknown = await thief.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  expect(stolen.status).toBe(404);
  expect(await stolen.text()).toBe(await unknown.text());
});

test('without a token, or with a wrong one, nothing is answered but how to get in', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, auth });
  for (const client of [new RawClient(proxy.url), as('wrong-wrong-wrong', proxy.url)]) {
    const response = await client.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  }
  expect(proxy.stderr).not.toContain('secret-token');
});

test('F13 a shared server has one process for all sessions, and one of scope principal one for each principal', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    auth,
    servers: { all: local('counter', { scope: 'shared' }), own: local('counter', { scope: 'principal' }) },
  });
  const clients = [
    await opened(as('alices-secret-token', proxy.url)),
    await opened(as('alices-secret-token', proxy.url)),
    await opened(as('bobs-secret-token', proxy.url)),
  ];
  const shared = await Promise.all(clients.map((client) => client.text('all__pid')));
  expect(new Set(shared).size).toBe(1);
  const own = await Promise.all(clients.map((client) => client.text('own__pid')));
  expect(own[0]).toBe(own[1]);
  expect(own[2]).not.toBe(own[0]);
});

test('a server of scope call is a fresh one for each call', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { counter: local('counter', { scope: 'call' }) },
  });
  const client = await RawClient.open(proxy.url);
  expect([await client.text('increment'), await client.text('increment')]).toEqual(['1', '1']);
});

test('unidentified: principal gives all clients of a principal one session, reject none', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { unidentified: 'principal' } });
  const [one, two] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  expect([await one.text('increment'), await two.text('increment')]).toEqual(['1', '2']);
  await proxy.stop();
  await using strict = await ProxyProcess.start(folder, { servers, sessions: { unidentified: 'reject' } });
  const refused = await new RawClient(strict.url).post({
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: {},
  });
  expect(refused.status).toBe(400);
  expect(await refused.text()).toContain('Say which session you mean');
});

test('P6 beyond the limit the longest idle session is paused; when all are busy, new ones get 503', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { max: 2 } });
  const [first, second, third] = [
    await RawClient.open(proxy.url),
    await RawClient.open(proxy.url),
    await RawClient.open(proxy.url),
  ];
  await first.text('increment');
  await second.text('increment');
  await third.text('increment');
  expect(await second.text('get')).toBe('1');
  expect(await first.text('get')).toMatch(/more sessions than allowed were running.*\n0$/s);

  const busy = [first, second].map((client) => client.call('sleep', { ms: 1500 }));
  let refused: Response;
  do {
    refused = await new RawClient(proxy.url).post({
      jsonrpc: '2.0',
      id: 1,
      method: 'initialize',
      params: {},
    });
  } while (refused.status === 200);
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toBe('5');
  await Promise.all(busy);
});
