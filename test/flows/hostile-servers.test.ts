import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { RemoteServer } from '../support/remote.js';

const counter = local('counter');

/** The files of the store that hold these bytes. */
function storedIn(folder: TemporaryFolder, text: string): string[] {
  return readdirSync(folder.path)
    .filter((file) => file.startsWith('store.db'))
    .filter((file) => !file.endsWith('.d') && readFileSync(join(folder.path, file)).includes(text));
}

// -- servers that die --------------------------------------------------------------------------------------------

test('a server that exits in a call fails that call with its name, exit code and last words, and no other', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { exits: local('exits-on-call'), counter },
  });
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  await client.request('tools/list');
  await Promise.all([client.text('counter__increment'), neighbour.text('exits__pid')]);
  const neighbourPid = await neighbour.text('exits__pid');
  const [slow, other] = [
    client.text('counter__sleep', { ms: 400 }),
    neighbour.text('counter__sleep', { ms: 400 }),
  ];
  const words = ['one', 'two', 'three', 'four', 'five', '\u001b[31mthe disk\u0007 is on fire\u001b[0m'];
  const failed = await client.call('exits__exit', { code: 42, words });
  expect(failed.result?.isError).toBe(true);
  expect(failed.result?._meta).toEqual({ 'mcp-session-proxy/error': 'OUTCOME_UNKNOWN' });
  const text = textOf(failed);
  expect(text).toMatch(/^Server "exits" exited with code 42 .*outcome is unknown/s);
  expect(text).toMatch(/stderr:\ntwo\nthree\nfour\nfive\nthe disk is on fire$/);
  expect(await Promise.all([slow, other])).toEqual(['slept 400', 'slept 400']);
  expect(await client.text('counter__get')).toBe('1');
  expect(await neighbour.text('exits__pid')).toBe(neighbourPid);
  // The next call starts it anew and says what is lost, once.
  expect(await client.text('exits__echo', { text: 'back' })).toMatch(
    /Server "exits" exited with code 42.* lost.*\nback$/s,
  );
  expect(await client.text('exits__echo', { text: 'back' })).toBe('back');
});

test('a server that is killed under many calls fails each of them once, and the neighbours answer all theirs', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { counter } });
  const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(proxy.url)));
  const [victim, ...others] = clients;
  if (!victim) throw new Error('no clients');
  await victim.request('tools/list');
  const pid = Number(await victim.text('pid'));
  await Promise.all(others.map((client) => client.text('get')));
  const dying = Array.from({ length: 20 }, () => victim.text('sleep', { ms: 30_000 }));
  const living = others.flatMap((client) =>
    Array.from({ length: 10 }, () => client.text('sleep', { ms: 100 })),
  );
  // All twenty are with the server: it has answered one that came after them.
  await victim.text('get');
  process.kill(pid, 'SIGKILL');
  for (const text of await Promise.all(dying)) expect(text).toMatch(/^Server "counter" was ended by SIGKILL/);
  expect(new Set(await Promise.all(living))).toEqual(new Set(['slept 100']));
});

test('a server that cannot be started says why, in the words of the config or its own', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: {
      dies: local('fails-to-start', { env: { GREETING: 'a broken pipe' } }, ['GREETING']),
      missing: { command: 'no-such-program-anywhere' },
      refuses: local('refuses-initialize'),
      silent: local('never-initializes', { timeouts: { start: '500ms' } }),
      counter,
    },
  });
  const client = await RawClient.open(proxy.url);
  expect(await client.text('counter__increment')).toBe('1');
  expect(await client.text('dies__x')).toMatch(
    /^Server "dies" .*exited with code 7.*\nGREETING is \[redacted\]$/s,
  );
  expect(await client.text('missing__x')).toMatch(
    /^Server "missing" .*"no-such-program-anywhere" was not found.*servers\.missing\.command/s,
  );
  expect(await client.text('refuses__x')).toMatch(/^Server "refuses" .*refused initialize: bad login/s);
  expect(await client.text('silent__x')).toMatch(
    /^Server "silent" .*initialize within 500ms \(timeouts\.start\)/s,
  );
  const { tools } = (await client.request('tools/list')).result as { tools: { name: string }[] };
  expect(tools.map(({ name }) => name)).toContain('counter__increment');
  expect(await client.text('counter__increment')).toBe('2');
});

test('what a server leaves behind in its process group ends with it', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { leaves: local('leaves-grandchild') } });
  const client = await RawClient.open(proxy.url);
  await client.request('tools/list');
  const [parent = 0, grandchild = 0] = (await client.text('pids')).split(' ').map(Number);
  expect(await client.text('exit')).toMatch(/exited with code 4/);
  await until(() => !isAlive(parent) && !isAlive(grandchild));
});

test('a server that ignores the end of its input and SIGTERM is gone when its session is closed', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { stays: local('ignores-eof'), counter } });
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const pid = Number(await client.text('stays__pid'));
  const closing = client.delete();
  expect(await neighbour.text('counter__increment')).toBe('1');
  expect((await closing).status).toBe(204);
  expect(isAlive(pid)).toBe(false);
});

// -- servers that say nothing, or too much -------------------------------------------------------------------------

test('a call that is never answered ends with its time limit and is cancelled, and the next one is answered', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { hangs: local('never-answers', { timeouts: { call: '300ms' } }) },
  });
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const pid = await client.text('pid');
  const hung = client.call('hang');
  expect(await client.text('echo', { text: 'beside it' })).toBe('beside it');
  expect(await neighbour.text('echo', { text: 'elsewhere' })).toBe('elsewhere');
  const answer = await hung;
  expect(answer.result?._meta).toEqual({ 'mcp-session-proxy/error': 'CALL_TIMEOUT' });
  expect(textOf(answer)).toMatch(/^Server "hangs" did not answer within 300ms \(timeouts\.call\)/);
  expect(await client.text('cancelled')).toBe('1');
  expect(await client.text('pid')).toBe(pid);
});

test('a flood on stderr stalls neither its server nor the neighbours', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { floods: local('floods-stderr-in-call'), counter },
  });
  const [client, neighbour] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  await neighbour.text('counter__get');
  const flood = client.text('floods__flood', { mib: 64 });
  for (let i = 1; i <= 50; i++) expect(await neighbour.text('counter__increment')).toBe(String(i));
  expect(await flood).toBe('wrote 64 MiB');
  expect(await client.text('floods__echo', { text: 'dry' })).toBe('dry');
  expect(proxy.stderr).not.toContain('xxxxxxxx');
});

test('lines on stdout that are no messages are passed over', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { noisy: local('noisy-stdout') } });
  const client = await RawClient.open(proxy.url);
  for (let i = 0; i < 20; i++) expect(await client.text('echo', { text: `${i}` })).toBe(`${i}`);
  expect(await client.text('say', { line: 'x'.repeat(100_000) })).toBe('said');
  expect(await client.text('say', { line: '{"jsonrpc":"2.0","id":1,"result":' })).toBe('said');
});

test('answers to ids that nobody asked for reach nobody, in this session or another', async () => {
  using folder = new TemporaryFolder();
  const timeouts = { call: '500ms' };
  await using proxy = await ProxyProcess.start(folder, {
    servers: {
      wrong: local('answers-unknown-ids', { timeouts }),
      shared: local('answers-unknown-ids', { timeouts, scope: 'shared' }),
    },
  });
  const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.open(proxy.url)));
  const texts = await Promise.all(
    clients.flatMap((client, c) =>
      Array.from({ length: 10 }, async (_, i) => [
        await client.text('wrong__echo', { text: `${c} ${i}` }),
        `${c} ${i}`,
      ]),
    ),
  );
  for (const [got, sent] of texts) expect(got).toBe(sent);
  expect(await clients[0]?.text('wrong__lost')).toMatch(/^Server "wrong" did not answer within 500ms/);
  expect(await clients[1]?.text('shared__lost')).toMatch(/^Server "shared" did not answer within 500ms/);
});

test('of several answers to one call the first counts', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { twice: local('answers-twice') } });
  const client = await RawClient.open(proxy.url);
  const sent = Array.from({ length: 50 }, (_, i) => `${i}`);
  expect(await Promise.all(sent.map((text) => client.text('echo', { text })))).toEqual(sent);
});

test('an answer that is no UTF-8 fails its call alone, and one with a lone surrogate passes as it is', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { odd: local('bad-utf8') } });
  const client = await RawClient.open(proxy.url);
  const beside = client.text('echo', { text: 'beside' });
  expect(await client.text('broken')).toMatch(/^Server "odd" answered with invalid UTF-8/);
  expect(await beside).toBe('beside');
  expect(await client.text('surrogate')).toBe('\ud800|\u0000|\u2028');
});

test('an answer of 5 MB passes whole, and one over maxMessage fails its call alone', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { huge: local('huge-answer'), strict: local('huge-answer', { maxMessage: '64KiB' }) },
  });
  const client = await RawClient.open(proxy.url);
  const bytes = 5_000_000;
  const whole = '0123456789abcdef'.repeat(bytes / 16);
  for (const accept of ['application/json', 'application/json, text/event-stream']) {
    client.headers = { Accept: accept };
    expect((await client.text('huge__text', { bytes })) === whole).toBe(true);
  }
  const pid = await client.text('strict__pid');
  for (const idLast of [false, true]) {
    const [failed, beside] = await Promise.all([
      client.text('strict__text', { bytes: 100_000, idLast }),
      client.text('strict__echo', { text: 'beside' }),
    ]);
    expect(failed).toMatch(
      /^Server "strict" answered with a message of \d+ bytes, over its limit "maxMessage"/,
    );
    expect(beside).toBe('beside');
  }
  expect(await client.text('strict__text', { bytes: 60_000, idLast: true })).toHaveLength(60_000);
  expect(await client.text('strict__pid')).toBe(pid);
});

test('thousands of mutated messages of a server do not keep the right ones from arriving', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, {
    servers: { mutates: local('mutates', { timeouts: { call: '5s' } }), counter },
  });
  const client = await RawClient.open(proxy.url, { roots: {}, elicitation: {}, sampling: {} });
  const neighbour = await RawClient.open(proxy.url);
  await neighbour.text('counter__increment');
  // A mutated answer may fit the call itself; then that is its answer, and it is over all the same.
  for (let seed = 1; seed <= 10; seed++) await client.call('mutates__storm', { seed, count: 500 });
  expect(await client.text('mutates__echo', { text: 'still here' })).toBe('still here');
  expect(await neighbour.text('counter__get')).toBe('1');
});

// -- servers that ask ----------------------------------------------------------------------------------------------

test('a server that asks for roots gets the answer of its own client, or an empty list when none comes', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers: { asks: local('asks-roots') } });
  const [client, silent, without] = [
    await RawClient.open(proxy.url, { roots: {} }),
    await RawClient.open(proxy.url, { roots: {} }),
    await RawClient.open(proxy.url),
  ];
  const unanswered = silent.text('roots');
  const response = await client.post({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'roots', arguments: {} },
  });
  let answer = '';
  for await (const { message } of eventsOf(response)) {
    if (message?.method === 'roots/list') {
      const result = { roots: [{ uri: 'file:///mine' }] };
      // Nobody else can answer it.
      await silent.post({ jsonrpc: '2.0', id: message.id, result: { roots: [{ uri: 'file:///forged' }] } });
      await client.post({ jsonrpc: '2.0', id: message.id, result });
    } else if (message?.result) answer = textOf(message);
  }
  expect(answer).toBe('{"roots":[{"uri":"file:///mine"}]}');
  expect(await without.text('roots')).toBe('null');
  expect(await unanswered).toBe('{"roots":[]}');
});

// -- secrets -------------------------------------------------------------------------------------------------------

test('secrets of the config stay out of answers, logs and the store, also when a dying server tells them', async () => {
  using folder = new TemporaryFolder();
  const canary = () => `canary-${randomBytes(12).toString('hex')}`;
  const [inEnv, inVariable, inWords, inHeader] = [canary(), canary(), canary(), canary()];
  using remote = await RemoteServer.start('http-counter');
  await using proxy = await ProxyProcess.start(
    folder,
    {
      servers: {
        tells: local('fails-to-start', { env: { API_TOKEN: inEnv, GREETING: '${MY_SECRET}' } }, [
          'API_TOKEN',
          'GREETING',
        ]),
        later: local('exits-on-call', { env: { DB_PASSWORD: inWords } }),
        remote: { url: remote.url, transport: 'http', headers: { Authorization: `Bearer ${inHeader}` } },
        gone: { url: 'http://127.0.0.1:9/mcp', transport: 'http', headers: { 'X-Api-Key': inHeader } },
        counter,
      },
    },
    { args: ['--log-level', 'trace'], env: { MY_SECRET: inVariable } },
  );
  const client = await RawClient.open(proxy.url);
  const answers = [
    await client.call('tells__x'),
    await client.call('later__exit', {
      words: [`password=${inWords}`, `"${inWords}"`, `${inWords}${inWords}`],
    }),
    await client.call('later__echo', { text: 'again' }),
    await client.call('counter__get'),
    await client.call('remote__increment'),
    await client.call('gone__get'),
    await client.request('tools/list'),
  ];
  expect(textOf(answers[0] ?? {})).toMatch(/API_TOKEN is \[redacted\]\nGREETING is \[redacted\]$/);
  expect(textOf(answers[1] ?? {})).toMatch(/password=\[redacted\]/);
  for (const secret of [inEnv, inVariable, inWords, inHeader]) {
    expect(JSON.stringify(answers)).not.toContain(secret);
    expect(proxy.stderr).not.toContain(secret);
    expect(storedIn(folder, secret)).toEqual([]);
  }
  await proxy.stop();
  for (const secret of [inEnv, inVariable, inWords, inHeader]) expect(storedIn(folder, secret)).toEqual([]);
});
