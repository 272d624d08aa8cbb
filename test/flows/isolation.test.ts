import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf, type Received } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { counter: local('counter') } };

const call = (id: string | number, name: string, args: object = {}, meta?: object) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args, ...(meta ? { _meta: meta } : {}) },
});

// -- equal ids -------------------------------------------------------------------------------------------------------

test('calls in flight with one id on one attachment get each its own answer', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  for (const accept of ['application/json', 'application/json, text/event-stream']) {
    const times = [400, 10, 250, 0, 130, 60];
    const answers = await Promise.all(
      times.map(async (ms) => client.read(await client.post(call(1, 'sleep', { ms }), { Accept: accept }))),
    );
    expect(answers.map((messages) => messages.map(textOf))).toEqual(times.map((ms) => [`slept ${ms}`]));
  }
});

test('a cancellation that could mean two calls of one id cancels neither', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const responses = await Promise.all([300, 200].map((ms) => client.post(call(1, 'sleep', { ms }))));
  await client.post({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } });
  const answers = await Promise.all(responses.map((response) => client.read(response)));
  expect(answers.map(([answer]) => textOf(answer ?? {}))).toEqual(['slept 300', 'slept 200']);
});

async function nonces(
  proxy: ProxyProcess,
  sessions: number,
  calls: number,
): Promise<{ crossed: number; lost: number }> {
  let [crossed, lost] = [0, 0];
  const clients = await Promise.all(Array.from({ length: sessions }, () => RawClient.open(proxy.url)));
  await Promise.all(
    clients.map(async (client) => {
      for (let i = 0; i < calls; i += 5) {
        await Promise.all(
          Array.from({ length: 5 }, async () => {
            const nonce = randomBytes(12).toString('hex');
            const answer = await client.request(
              'tools/call',
              { name: 'echo', arguments: { text: nonce } },
              1,
            );
            const text = textOf(answer).split('\n').at(-1);
            if (text === nonce) return;
            if (/^[0-9a-f]{24}$/.test(text ?? '')) crossed += 1;
            else lost += 1;
          }),
        );
      }
    }),
  );
  return { crossed, lost };
}

test(
  'of 5,000 calls in 100 sessions, all with id 1, no answer is crossed and none is lost',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, config);
    expect(await nonces(proxy, 100, 50)).toEqual({ crossed: 0, lost: 0 });
  },
);

test('nor in 100 sessions that share one server', { timeout: 60_000 }, async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { counter: local('counter', { scope: 'shared' }) },
  });
  expect(await nonces(proxy, 100, 50)).toEqual({ crossed: 0, lost: 0 });
});

test('P8 equal progress tokens of two clients do not mix', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { talkative: local('talkative', { scope: 'shared' }) },
  });
  const clients = await Promise.all(Array.from({ length: 4 }, () => RawClient.open(proxy.url)));
  const answers = await Promise.all(
    clients.flatMap((client) =>
      Array.from({ length: 5 }, async () =>
        client.read(await client.post(call(1, 'progress', {}, { progressToken: 'same' }))),
      ),
    ),
  );
  for (const messages of answers) {
    const progress = messages.filter(({ method }) => method === 'notifications/progress');
    expect(progress.map(({ params }) => [params?.progressToken, params?.progress])).toEqual([
      ['same', 1],
      ['same', 2],
      ['same', 3],
    ]);
    expect(messages).toHaveLength(4);
  }
});

// -- session ids -----------------------------------------------------------------------------------------------------

test('a foreign, a closed and an unknown session id are answered alike to the byte', async () => {
  using folder = new TemporaryFolder();
  const [alice, bob] = [randomBytes(24).toString('hex'), randomBytes(24).toString('hex')];
  await using proxy = await ProxyProcess.start(folder, {
    ...config,
    auth: {
      tokens: [
        { name: 'alice', value: alice },
        { name: 'bob', value: bob },
      ],
    },
  });
  const open = async (token: string) => {
    const client = new RawClient(proxy.url);
    client.headers = { Authorization: `Bearer ${token}` };
    await client.initialize();
    return client;
  };
  const [hers, his] = [await open(alice), await open(bob)];
  expect(await hers.text('increment')).toBe('1');
  const closed = await open(bob);
  const close = await fetch(proxy.url, {
    method: 'DELETE',
    headers: { ...closed.headers, 'Mcp-Session-Id': closed.session ?? '' },
  });
  expect(close.status).toBe(204);

  const requests: [string, Record<string, string>, string | null][] = [
    ['POST', {}, JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' })],
    ['POST', {}, JSON.stringify(call(1, 'increment'))],
    [
      'POST',
      {},
      JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }),
    ],
    ['POST', {}, JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })],
    ['POST', {}, JSON.stringify([{ jsonrpc: '2.0', id: 1, method: 'ping' }])],
    ['GET', { Accept: 'text/event-stream' }, null],
    ['GET', { Accept: 'text/event-stream', 'Last-Event-ID': '1-1' }, null],
    ['DELETE', {}, null],
  ];
  for (const [method, headers, body] of requests) {
    const answers = await Promise.all(
      [hers.session, closed.session, 'unknown', randomBytes(32).toString('base64url'), 'x'.repeat(8000)].map(
        async (id) => {
          const response = await fetch(proxy.url, {
            method,
            headers: {
              'Content-Type': 'application/json',
              Accept: 'application/json, text/event-stream',
              ...his.headers,
              ...headers,
              'Mcp-Session-Id': id ?? '',
            },
            body,
          });
          const kept = [...response.headers].filter(([name]) => name !== 'date');
          return JSON.stringify([response.status, kept, await response.text()]);
        },
      ),
    );
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toMatch(/^\[404,.*-32001/);
  }
  expect(await hers.text('increment')).toBe('2');
});

test('initialize with a known session id keeps the session and its server', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const { session } = client;
  const pid = await client.text('pid');
  await client.text('increment');
  await client.initialize();
  expect(client.session).toBe(session);
  expect(await client.text('pid')).toBe(pid);
  expect(await client.text('increment')).toBe('2');
  // With an unknown id it is a new client.
  const stranger = new RawClient(proxy.url, 'made-up');
  await stranger.initialize();
  expect(stranger.session).not.toBe('made-up');
  expect(await stranger.text('get')).toBe('0');
});

test('DELETE in the middle of a call ends the call, the server and the id', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const pid = Number(await client.text('pid'));
  const response = await client.post(call(1, 'sleep', { ms: 60_000 }));
  expect((await client.delete()).status).toBe(204);
  expect(isAlive(pid)).toBe(false);
  for (const message of await client.read(response)) expect(textOf(message)).not.toMatch(/slept/);
  expect((await client.post(call(2, 'get'))).status).toBe(404);
  expect((await client.delete()).status).toBe(404);
  expect(await neighbour.text('increment')).toBe('1');
});

// -- streams ---------------------------------------------------------------------------------------------------------

test("a client's second GET takes its stream over: the first ends, and nothing is told twice", async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { talkative: local('talkative') } });
  const client = await RawClient.open(proxy.url);
  const first = eventsOf(await client.stream());
  expect((await first.next()).value).toMatchObject({ message: undefined });
  await client.text('grow');
  expect((await first.next()).value?.message?.method).toBe('notifications/tools/list_changed');
  const second = eventsOf(await client.stream());
  expect((await first.next()).done).toBe(true);
  expect((await second.next()).value).toMatchObject({ message: undefined });
  await client.text('grow');
  expect((await second.next()).value?.message?.method).toBe('notifications/tools/list_changed');
  await second.return(undefined);
});

test(
  'event ids that are forged, foreign or of another kind replay nothing',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { talkative: local('talkative') } });
    const [owner, stranger] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const response = await owner.post(call(1, 'progress', {}, { progressToken: 'x' }));
      for await (const { id } of eventsOf(response)) if (id) ids.push(id);
    }
    expect(ids.length).toBeGreaterThan(10);
    const forged = [
      ...ids,
      ...Array.from({ length: 40 }, (_, stream) => `${stream.toString(36)}-0`),
      '-',
      '0',
      '0-',
      '-1-0',
      '1-0-0',
      '1.5-0',
      '1-0\u00a0',
      'zzzzzzz-0',
      "1' OR '1'='1",
      '*',
      '%',
      '9'.repeat(5000),
    ];
    for (const id of forged) {
      const events = eventsOf(await stranger.stream(id));
      // The priming event of the stranger's own stream comes first.
      expect([id, (await events.next()).value?.message]).toEqual([id, undefined]);
      // A second GET ends the first: whatever had been replayed on it would be read before its end.
      const second = eventsOf(await stranger.stream());
      await second.next();
      expect([id, (await events.next()).done]).toEqual([id, true]);
      await second.return(undefined);
    }
  },
);

test("a client's answer to a question that was put to another is passed over", async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { asks: local('asks-roots') } });
  const asked = await RawClient.open(proxy.url, { elicitation: {} });
  const stranger = await RawClient.open(proxy.url, { elicitation: {} });
  await stranger.text('echo', { text: 'here' });
  const response = await asked.post(call(1, 'elicit', { message: 'who?' }));
  const answers: Received[] = [];
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'elicitation/create') {
      expect(message.params?.message).toBe('who?');
      const id = message.id;
      expect(
        (
          await stranger.post({
            jsonrpc: '2.0',
            id,
            result: { action: 'accept', content: { name: 'mallory' } },
          })
        ).status,
      ).toBe(202);
      await asked.post({ jsonrpc: '2.0', id, result: { action: 'decline' } });
      await asked.post({ jsonrpc: '2.0', id, result: { action: 'accept', content: { name: 'too late' } } });
    } else if (message) answers.push(message);
  }
  expect(answers.map(textOf)).toEqual([expect.stringContaining('"decline"')]);
});

test('P8 notifications of one session do not reach another', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { talkative: local('talkative') } });
  const [loud, quiet] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  await quiet.text('log');
  const listening = eventsOf(await quiet.stream());
  await listening.next();
  await loud.text('grow');
  await loud.text('log');
  await loud.request('resources/subscribe', { uri: 'memo://one' });
  await loud.text('touch', { uri: 'memo://one' });
  // The first thing the quiet one hears is its own.
  await quiet.request('resources/subscribe', { uri: 'memo://own' });
  await quiet.text('touch', { uri: 'memo://own' });
  expect((await listening.next()).value?.message).toMatchObject({
    method: 'notifications/resources/updated',
    params: { uri: 'memo://own' },
  });
  await listening.return(undefined);
});

test('each of many sessions has a process of its own, and they are gone when the sessions are closed', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.open(proxy.url)));
  const pids = await Promise.all(clients.map(async (client) => Number(await client.text('pid'))));
  expect(new Set(pids).size).toBe(10);
  await Promise.all(clients.map((client) => client.delete()));
  await until(() => !pids.some(isAlive));
});
