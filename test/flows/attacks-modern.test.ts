import Database from 'better-sqlite3';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Fields } from '../../src/protocol/messages.js';
import { RawClient, textOf, type Received } from '../support/client.js';
import { RawApi } from '../support/api.js';
import { ModernClient } from '../support/modern.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const counter = { counter: local('counter') };
const talk = { talk: local('talkative') };
const person = { elicitation: { form: {}, url: {} } };
const name = { action: 'accept', content: { name: 'Ada' } };

const newToken = () => randomBytes(24).toString('hex');
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const both = (ada: string, bob: string) => ({
  auth: {
    tokens: [
      { name: 'ada', value: ada },
      { name: 'bob', value: bob },
    ],
  },
});

function query<Row>(folder: TemporaryFolder, sql: string): Row[] {
  const db = new Database(join(folder.path, 'store.db'), { readonly: true });
  try {
    return db.prepare<[], Row>(sql).all();
  } finally {
    db.close();
  }
}

/** Bytes of the process in memory. */
function memoryOf(proxy: ProxyProcess): number {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${proxy.pid}/status`, 'utf8')) ?? [];
  return Number(kib) * 1024;
}

function questionsIn({ result }: Received) {
  const { requestState, inputRequests } = result as { requestState: string; inputRequests: Fields };
  const inputResponses = Object.fromEntries(Object.keys(inputRequests).map((key) => [key, name]));
  return { requestState, inputResponses };
}

/** A client of 2024-11-05: one stream down, a POST for each message up. */
async function openSse(proxy: ProxyProcess, path = '/sse', headers: Record<string, string> = {}) {
  const leave = new AbortController();
  const response = await fetch(new URL(path, proxy.url), { headers, signal: leave.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let read = '';
  const has = async (what: RegExp): Promise<string> => {
    for (;;) {
      const found = what.exec(read);
      if (found) return found[1] ?? found[0];
      const part = await reader?.read();
      if (part?.done !== false) return '';
      read += part.value;
    }
  };
  const endpoint = await has(/event: endpoint\ndata: (\S+)\n/);
  const post = (message: object, more: Record<string, string> = {}) =>
    fetch(new URL(endpoint, proxy.url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...headers, ...more },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    });
  const initialize = () =>
    post({
      id: 'init',
      method: 'initialize',
      params: { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'old', version: '1' } },
    });
  return { has, post, initialize, endpoint, leave: () => leave.abort() };
}

/** Shares the session "work" of the token's principal with bob. */
async function share(proxy: ProxyProcess, token: string): Promise<void> {
  const { status } = await new RawApi(proxy.url, token).ask('POST', '/sessions/work/share', {
    alias: 'ours',
    with: ['token:bob'],
  });
  expect(status).toBe(200);
}

/** Posts a message, and reads nothing of what comes back. */
function unread(proxy: ProxyProcess, message: { method: string } & Fields, more = ''): Socket {
  const body = JSON.stringify(message);
  const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1').pause();
  socket.write(
    `POST ${new URL(proxy.url).pathname} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n` +
      `Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n` +
      `Mcp-Method: ${message.method}\r\n${more}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  return socket.on('error', () => {});
}

describe('clients of HTTP+SSE', () => {
  test("V3 a guest of a session cannot take its owner's stream by the key that stands in the owner's URL", async () => {
    using folder = new TemporaryFolder();
    const [ada, bob] = [newToken(), newToken()];
    await using proxy = await ProxyProcess.start(folder, { ...both(ada, bob), servers: talk });
    const owner = await openSse(proxy, '/sse/s/work?key=laptop', bearer(ada));
    await owner.initialize();
    await owner.has(/"id":"init"/);
    await share(proxy, ada);
    for (const id of ['["sse","token:ada","laptop"]', 'laptop']) {
      const headers = { ...bearer(bob), Accept: 'text/event-stream', 'Mcp-Session-Id': id };
      const taken = await fetch(proxy.url, { headers });
      expect([id, taken.status]).toEqual([id, 404]);
      await taken.body?.cancel();
      const left = await fetch(proxy.url, { method: 'DELETE', headers });
      expect([id, left.status]).toEqual([id, 404]);
    }
    await owner.post({ id: 1, method: 'tools/list' });
    expect(await owner.has(/"id":1,/)).not.toBe('');
    owner.leave();
  });

  test('a connection takes messages of its own principal alone, and a foreign one is answered like a closed one', async () => {
    using folder = new TemporaryFolder();
    const [ada, bob] = [newToken(), newToken()];
    await using proxy = await ProxyProcess.start(folder, { ...both(ada, bob), servers: counter });
    const [one, other] = [
      await openSse(proxy, '/sse?key=same', bearer(ada)),
      await openSse(proxy, '/sse?key=same', bearer(bob)),
    ];
    await one.initialize();
    await other.initialize();
    const increment = (id: number) => ({ id, method: 'tools/call', params: { name: 'increment' } });
    const foreign = await one.post(increment(1), bearer(bob));
    const closed = await fetch(new URL(`/messages?connection=${'x'.repeat(32)}`, proxy.url), {
      method: 'POST',
      headers: bearer(bob),
      body: JSON.stringify(increment(1)),
    });
    expect([foreign.status, await foreign.text()]).toEqual([closed.status, await closed.text()]);
    await one.post(increment(2));
    await other.post(increment(2));
    expect(await one.has(/"id":2.*"text":"(\d)"/)).toBe('1');
    expect(await other.has(/"id":2.*"text":"(\d)"/)).toBe('1');
    // The same key takes the stream over for its own principal.
    const again = await openSse(proxy, '/sse?key=same', bearer(ada));
    await again.post(increment(3));
    expect(await again.has(/"id":3.*"text":"(\d)"/)).toBe('2');
    expect((await one.post(increment(4))).status).toBe(404);
    again.leave();
    other.leave();
  });

  test('a client that does not read what it is refused costs no memory', { timeout: 60_000 }, async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: counter,
      sessions: { unidentified: 'reject' },
    });
    const socket = connect(Number(new URL(proxy.url).port), '127.0.0.1');
    let head = '';
    const endpoint = await new Promise<string>((resolve) => {
      socket.on('data', (chunk: Buffer) => {
        head += chunk.toString();
        const [, found] = /data: (\S+)/.exec(head) ?? [];
        if (!found) return;
        socket.pause();
        resolve(found);
      });
      socket.write(`GET /sse HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
    });
    const before = memoryOf(proxy);
    const body = JSON.stringify({ jsonrpc: '2.0', id: 'i'.repeat(2 * 1024 ** 2), method: 'tools/list' });
    const statuses = new Set<number>();
    for (let i = 0; i < 150; i++) {
      const response = await fetch(new URL(endpoint, proxy.url), { method: 'POST', body });
      statuses.add(response.status);
      await response.text();
    }
    socket.destroy();
    expect((memoryOf(proxy) - before) / 1024 ** 2).toBeLessThan(150);
    expect(statuses).toContain(404); // given up
  });
});

describe('guests of a shared session', () => {
  test("without ids neither cancel the owner's calls nor hear what is meant for the owner", async () => {
    using folder = new TemporaryFolder();
    const [ada, bob] = [newToken(), newToken()];
    await using proxy = await ProxyProcess.start(folder, { ...both(ada, bob), servers: counter });
    const owner = new RawClient(`${proxy.url}/s/work`);
    owner.headers = bearer(ada);
    await owner.text('get');
    await share(proxy, ada);
    const guest = new RawClient(`${proxy.url}/s/@ours`);
    guest.headers = bearer(bob);
    expect(await guest.text('increment')).toBe('1');
    const slept = owner.request('tools/call', { name: 'sleep', arguments: { ms: 500 } }, 'same');
    const cancelled = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'same' } };
    await until(async () => {
      await guest.post(cancelled);
      return Promise.race([slept.then(() => true), new Promise<false>((no) => setTimeout(no, 50, false))]);
    });
    expect(textOf(await slept)).toBe('slept 500');
  });
});

describe('held calls', () => {
  test('a requestState of one principal is nothing to another, though both are in one session', async () => {
    using folder = new TemporaryFolder();
    const [ada, bob] = [newToken(), newToken()];
    await using proxy = await ProxyProcess.start(folder, { ...both(ada, bob), servers: talk });
    const owner = new ModernClient(`${proxy.url}/s/work`);
    owner.raw.headers = bearer(ada);
    owner.capabilities = person;
    const retry = questionsIn(await owner.call('elicit'));
    await share(proxy, ada);
    const guest = new ModernClient(`${proxy.url}/s/@ours`);
    guest.raw.headers = bearer(bob);
    guest.capabilities = person;
    const made = { requestState: `msp1.${'A'.repeat(32)}`, inputResponses: {} };
    const [foreign, unknown] = [await guest.call('elicit', {}, retry), await guest.call('elicit', {}, made)];
    expect(foreign.error?.code).toBe(-32602);
    expect(foreign).toEqual(unknown);
    expect(JSON.parse(textOf(await owner.call('elicit', {}, retry)))).toEqual(name);
  });

  test('a state that a server of a proxy further on made passes through this one', async () => {
    using inner = new TemporaryFolder();
    using outer = new TemporaryFolder();
    await using behind = await ProxyProcess.start(inner, { servers: talk });
    await using proxy = await ProxyProcess.start(outer, {
      servers: { far: { url: behind.url, era: 'modern' } },
    });
    const client = new ModernClient(proxy.url);
    client.capabilities = person;
    const asked = await client.call('elicit');
    expect(asked.result?.resultType).toBe('input_required');
    expect(JSON.parse(textOf(await client.call('elicit', {}, questionsIn(asked))))).toEqual(name);
  });
});

describe('subscriptions/listen', () => {
  test('one that names more resources than anybody watches is refused', { timeout: 60_000 }, async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    await client.call('log');
    const uris = Array.from({ length: 100_000 }, (_, i) => `memo://${i}`);
    const { error } = await client.request('subscriptions/listen', {
      notifications: { resourceSubscriptions: uris },
    });
    expect(error?.code).toBe(-32602);
  });

  test('a second listener to a resource hears of its changes, though the first one came before the resource was known', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { talk: local('talkative'), counter: local('counter') },
    });
    const client = new ModernClient(proxy.url);
    await client.call('talk__log');
    // No server has told of the resource so far: nobody knows whose it is.
    const listens = [await client.listen({ resourceSubscriptions: ['memo://one'] }, 'first')];
    expect(await listens[0]?.next()).toMatchObject({ method: 'notifications/subscriptions/acknowledged' });
    await client.request('resources/list');
    const second = await client.listen({ resourceSubscriptions: ['memo://one'] }, 'second');
    listens.push(second);
    expect(await second.next()).toMatchObject({ method: 'notifications/subscriptions/acknowledged' });
    let heard = false;
    const next = second.next().then(() => (heard = true));
    await until(async () => {
      await client.call('talk__touch', { uri: 'memo://one' });
      return heard;
    });
    await next;
    for (const listen of listens) await listen.close();
  });

  test('ends with its session, whoever closes that, and a foreign one cannot be listened to', async () => {
    using folder = new TemporaryFolder();
    const [ada, bob] = [newToken(), newToken()];
    await using proxy = await ProxyProcess.start(folder, { ...both(ada, bob), servers: talk });
    const owner = new ModernClient(`${proxy.url}/s/work`);
    owner.raw.headers = bearer(ada);
    const { result } = await owner.call('log');
    const id = (result?._meta as Record<string, { id: string }>)['mcp-session-proxy/session']?.id ?? '';
    const foreign = new ModernClient(`${proxy.url}/s/work`);
    foreign.raw.headers = bearer(bob);
    const [own, other] = [
      await owner.listen({ toolsListChanged: true }),
      await foreign.listen({ toolsListChanged: true }),
    ];
    await own.next();
    await other.next();
    await owner.call('grow');
    expect(await own.next()).toMatchObject({ method: 'notifications/tools/list_changed' });
    expect((await new RawApi(proxy.url, ada).ask('DELETE', `/sessions/${id}`)).status).toBeLessThan(300);
    expect(await own.next()).toMatchObject({ id: 'listen', result: {} });
    expect((await new RawApi(proxy.url, bob).ask('DELETE', '/sessions/work')).status).toBeLessThan(300);
    expect(await other.next()).toMatchObject({ id: 'listen', result: {} }); // and nothing before it
  });

  test('a listener that does not read is given up', { timeout: 60_000 }, async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: talk });
    const client = new ModernClient(proxy.url);
    const uri = `memo://${'u'.repeat(1024 ** 2)}`;
    await client.call('log');
    const gone: Promise<unknown>[] = [];
    const sockets: Socket[] = [];
    for (let i = 0; i < 20; i++) {
      const params = client.params({ notifications: { resourceSubscriptions: [uri] } });
      const socket = unread(proxy, { jsonrpc: '2.0', id: i, method: 'subscriptions/listen', params });
      sockets.push(socket);
      gone.push(new Promise((resolve) => socket.once('close', resolve)));
    }
    const before = memoryOf(proxy);
    for (let i = 0; i < 30; i++) await client.call('touch', { uri });
    expect((memoryOf(proxy) - before) / 1024 ** 2).toBeLessThan(300);
    for (const socket of sockets) socket.resume().on('error', () => {});
    await Promise.all(gone);
  });
});

describe('hints', () => {
  test(
    'a new conversation with each request leaves no more sessions, rows and servers than are kept',
    { timeout: 60_000 },
    async () => {
      using folder = new TemporaryFolder();
      await using proxy = await ProxyProcess.start(folder, {
        servers: counter,
        sessions: { maxKept: 10, maxPerPrincipal: 3, max: 3 },
      });
      const client = new ModernClient(proxy.url);
      const raw = await RawClient.open(proxy.url);
      const odd = ['../../etc', "' OR 1=1 --", '\u202e\u0000', 'é'.repeat(200), 'x'.repeat(512)];
      for (let i = 0; i < 40; i++) {
        const hint = { _meta: { 'openai/session': odd[i] ?? `chat-${i}` } };
        expect(textOf(await client.call('increment', {}, hint))).toBe('1');
        expect(textOf(await raw.request('tools/call', { name: 'increment', arguments: {}, ...hint }))).toBe(
          '2',
        );
      }
      const count = (table: string) =>
        query<{ count: number }>(folder, `SELECT count(*) AS count FROM ${table}`)[0]?.count ?? 0;
      await until(() => count('children') <= 3);
      expect([count('sessions') <= 10, count('hints') <= 10]).toEqual([true, true]);
      expect(count('attachments')).toBeLessThanOrEqual(11);
    },
  );
});
