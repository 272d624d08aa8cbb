import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROUTES } from '../../src/admin/router.js';
import { isFields, type Fields } from '../../src/protocol/messages.js';
import { RawApi, type Answered } from '../support/api.js';
import { isAlive, local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const ALICE = 'the-token-of-alice';
const BOB = 'the-token-of-bob-';
const ROOT = 'the-token-of-root';
const tokens = [
  { name: 'alice', value: ALICE },
  { name: 'bob', value: BOB },
  { name: 'root', value: ROOT, admin: true },
];

const folder = new TemporaryFolder();
let proxy: ProxyProcess;
let alice: RawApi;
let bob: RawApi;
let root: RawApi;

beforeAll(async () => {
  proxy = await ProxyProcess.start(folder, {
    listen: { maxBody: '64KiB' },
    auth: { tokens },
    servers: { counter: local('counter') },
  });
  [alice, bob, root] = [
    new RawApi(proxy.url, ALICE),
    new RawApi(proxy.url, BOB),
    new RawApi(proxy.url, ROOT),
  ];
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

const failure = (code: string, message: string) => ({ error: { code, message } });

// -- statuses and bodies -----------------------------------------------------------------------------------------

test('M2 making a session answers 201 with where it is, and 409 when there is one of that name', async () => {
  const made = await alice.ask('POST', '/sessions', { name: 'made', ttlSeconds: 60 });
  expect(made.status).toBe(201);
  expect(made.body).toMatchObject({ name: 'made', state: 'idle', principal: 'token:alice' });
  const again = await alice.ask('POST', '/sessions', { name: 'made' });
  expect([again.status, again.body]).toEqual([
    409,
    failure('SESSION_EXISTS', 'There is a session "made" already. Use it, or choose another name.'),
  ]);
  const got = await alice.ask('POST', '/sessions', { name: 'made', getOrCreate: true });
  expect([got.status, got.body]).toEqual([200, { ...made.body, existed: true }]);
  const other = await alice.ask('POST', '/sessions', { name: 'other', getOrCreate: true });
  expect([other.status, other.body.existed]).toEqual([201, false]);
});

test('a session needs no body, and no name', async () => {
  const made = await alice.ask('POST', '/sessions');
  expect([made.status, made.body.name]).toEqual([201, null]);
});

test('M10 deleting answers 204 without a body each time, also for what was never there', async () => {
  await alice.ask('POST', '/sessions', { name: 'gone' });
  for (const path of ['/sessions/gone', '/sessions/gone?force=true&purge=true', '/sessions/never']) {
    const { status, text } = await alice.ask('DELETE', path);
    expect([status, text]).toEqual([204, '']);
  }
});

test('F9 a batch answers for each item by its stable code', async () => {
  const { status, body } = await alice.ask('POST', '/sessions', {
    items: [{ name: 'batch-1' }, { name: 'batch-1' }, { name: 'no name' }],
  });
  expect(status).toBe(200);
  expect(body.results).toMatchObject([
    { ok: true, value: { name: 'batch-1' } },
    { ok: false, error: { code: 'SESSION_EXISTS' } },
    { ok: false, error: { code: 'SESSION_NAME_INVALID' } },
  ]);
  const closed = await alice.ask('POST', '/sessions:close', { refs: ['batch-1', 'nobody'] });
  expect(closed.body).toEqual({
    results: [
      { ok: true, value: true },
      { ok: true, value: false },
    ],
  });
});

test('M6 tools answer with the result of the server, also when it is an error of the tool', async () => {
  await alice.ask('POST', '/sessions', { name: 'tools' });
  const { status, body } = await alice.ask('POST', '/sessions/tools/tools/increment', { arguments: {} });
  expect(status).toBe(200);
  expect(body.result).toMatchObject({ content: [{ type: 'text', text: '1' }] });
  const bare = await alice.ask('POST', '/sessions/tools/tools/increment');
  expect(bare.body.result).toMatchObject({ content: [{ text: '2' }] });
  const single = await alice.ask('POST', '/tools/increment');
  expect(single.body.result).toMatchObject({
    content: [{ text: '1' }],
    _meta: { 'mcp-session-proxy/session': { temporary: true } },
  });
});

test('state is given and taken with its version, and 412 tells which one there is', async () => {
  await alice.ask('POST', '/sessions', { name: 'state' });
  const path = '/sessions/state/state/notes%2Fa';
  expect((await alice.ask('PUT', path, { value: { a: 1 } })).body).toEqual({ value: { a: 1 }, version: 1 });
  expect((await alice.ask('PUT', `${path}?merge=true`, { value: { b: 2 }, version: 1 })).body).toEqual({
    value: { a: 1, b: 2 },
    version: 2,
  });
  const late = await alice.ask('PUT', path, { value: 3, version: 1 });
  expect([late.status, late.body]).toEqual([
    412,
    {
      error: {
        code: 'STATE_CONFLICT',
        message: '"notes/a" is at version 2, not 1: somebody else changed it. Read it again, then set it.',
        details: { version: 2 },
      },
    },
  ]);
  expect((await alice.ask('GET', path)).body).toEqual({ value: { a: 1, b: 2 }, version: 2 });
  expect((await alice.ask('GET', '/sessions/state/state')).body).toEqual({
    state: { 'notes/a': { a: 1, b: 2 } },
  });
  expect((await alice.ask('DELETE', `${path}?version=2`)).body).toEqual({ deleted: true });
  expect((await alice.ask('GET', path)).status).toBe(404);
});

test('T7 pages follow each other by cursor', async () => {
  await root.ask('POST', '/sessions', {
    items: Array.from({ length: 5 }, (_, i) => ({ name: `page-${i}` })),
  });
  const names: unknown[] = [];
  let path = '/sessions?limit=2&state=idle,active';
  for (let pages = 0; path !== ''; pages++) {
    expect(pages).toBeLessThan(4);
    const { body } = await root.ask('GET', path);
    names.push(...(body.sessions as Fields[]).map(({ name }) => name));
    path =
      typeof body.nextCursor === 'string'
        ? `/sessions?limit=2&state=idle,active&cursor=${body.nextCursor}`
        : '';
  }
  expect(names.sort()).toEqual(['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
});

test('T4 events since a time may name it in ISO 8601 or in milliseconds', async () => {
  await alice.ask('POST', '/sessions', { name: 'timed' });
  await alice.ask('PUT', '/sessions/timed/state/key', { value: 1 });
  const { body } = await alice.ask('GET', '/sessions/timed/events');
  const last = (body.events as { at: string }[]).at(-1)?.at ?? '';
  for (const since of [last, String(Date.parse(last)), '2026-01-01', '0']) {
    const found = await alice.ask('GET', `/sessions/timed/events?since=${encodeURIComponent(since)}`);
    expect((found.body.events as Fields[]).at(-1)).toMatchObject({ type: 'state set' });
  }
  const later = new Date(Date.parse(last) + 1).toISOString();
  expect((await alice.ask('GET', `/sessions/timed/events?since=${later}`)).body).toEqual({ events: [] });
});

test('names are percent-decoded, and what is shared is reached by @alias', async () => {
  const { body } = await alice.ask('POST', '/sessions', { name: 'shared.one' });
  await alice.ask('POST', '/sessions/shared%2Eone/share', { alias: 'ours', with: ['token:bob'] });
  expect((await bob.ask('GET', '/sessions/%40ours')).body.id).toBe(body.id);
  expect((await bob.ask('GET', '/sessions/@ours')).body.id).toBe(body.id);
});

test('F16 a proxy that is well says so to everybody, and only to administrators who else is there', async () => {
  const outside = (path: string) => fetch(new URL(path, proxy.url));
  expect(await (await outside('/health')).json()).toEqual({ status: 'ok' });
  expect(await (await outside('/ready')).json()).toEqual({ status: 'ready' });
  await alice.ask('POST', '/sessions', { name: 'busy', bind: true });
  const { body } = await alice.ask('GET', '/sessions/busy');
  const pid = (body.bindings as { pid: number }[])[0]?.pid ?? 0;
  expect((await bob.ask('POST', '/users/token%3Aalice/disconnect')).status).toBe(403);
  expect(isAlive(pid)).toBe(true);
  const done = await root.ask('POST', '/users/token%3Aalice/disconnect');
  expect([done.status, Number(done.body.paused) > 0, isAlive(pid)]).toEqual([200, true, false]);
});

// -- what is refused ---------------------------------------------------------------------------------------------

test.each<[method: string, path: string, body: unknown, message: string]>([
  [
    'POST',
    '/sessions',
    { nmae: 'x' },
    'body.nmae is not known here. Known: name, scope, servers, ttlSeconds, onTimeout, state, bind, getOrCreate.',
  ],
  ['POST', '/sessions', { name: 5 }, 'body.name: expected string, received number.'],
  ['POST', '/sessions', { ttlSeconds: 0 }, 'body.ttlSeconds: Too small: expected number to be >0.'],
  [
    'POST',
    '/sessions',
    { onTimeout: 'explode' },
    'body.onTimeout: Invalid option: expected one of "pause"|"close".',
  ],
  ['POST', '/sessions', { getOrCreate: true }, 'body.name: must be given with getOrCreate.'],
  [
    'POST',
    '/sessions',
    { items: [{}, { bind: 'yes' }] },
    'body.items.1.bind: expected true, false or atomic.',
  ],
  [
    'POST',
    '/sessions',
    { items: [{ nmae: 'x' }] },
    'body.items.0.nmae is not known here. Known: name, scope, servers, ttlSeconds, onTimeout, state, bind.',
  ],
  ['POST', '/sessions', [], 'body: expected object, received array.'],
  ['POST', '/sessions:close', {}, 'body.refs is missing.'],
  [
    'PATCH',
    '/sessions/a',
    { state: {} },
    'body.state is not known here. Known: name, ttlSeconds, onTimeout.',
  ],
  ['POST', '/sessions/a/extend', {}, 'body.seconds is missing.'],
  ['POST', '/sessions/a/extend', { seconds: '60' }, 'body.seconds: expected number, received string.'],
  [
    'POST',
    '/sessions/a/extend',
    { seconds: 1e12 },
    'body.seconds: Too big: expected number to be <=315360000.',
  ],
  ['POST', '/sessions/a/refresh', { seconds: 1 }, 'POST /sessions/{ref}/refresh takes no body. Send none.'],
  ['POST', '/sessions/a/share', { alias: 'x', with: 'bob' }, 'body.with: expected array, received string.'],
  ['POST', '/sessions/a/tools/get', { args: {} }, 'body.args is not known here. Known: arguments.'],
  ['PUT', '/sessions/a/state/key', {}, 'body.value is missing.'],
  [
    'PUT',
    '/sessions/a/state/key',
    { value: 1, version: -1 },
    'body.version: Too small: expected number to be >=0.',
  ],
  [
    'PUT',
    '/sessions/a/state/key?merge=perhaps',
    { value: 1 },
    'query.merge: expected boolean, received string.',
  ],
  [
    'POST',
    '/sessions/a/events',
    { track: 'main', type: 'x' },
    "body.track: must not be main, which is the session's own.",
  ],
  ['GET', '/sessions?limit=none', undefined, 'query.limit: expected number, received string.'],
  ['GET', '/sessions?limit=501', undefined, 'query.limit: Too big: expected number to be <=500.'],
  [
    'GET',
    '/sessions?state=idle,asleep',
    undefined,
    'query.state.1: Invalid option: expected one of "idle"|"active"|"paused"|"error"|"closed".',
  ],
  [
    'GET',
    '/sessions?page=2',
    undefined,
    'query.page is not known here. Known: limit, cursor, state, principal, all.',
  ],
  ['GET', '/stats?deep=1', undefined, 'query.deep is not known here. Leave it out.'],
  [
    'GET',
    '/sessions/a/events?since=yesterday',
    undefined,
    'query.since: must be a time in ISO 8601 or milliseconds since 1970.',
  ],
  [
    'GET',
    '/sessions/a/events?track=notes&follow=true',
    undefined,
    "query.track: only the session's own track can be followed. Leave one of track and follow out.",
  ],
  ['GET', '/sessions/%ff', undefined, 'The part "%ff" of the path is not percent-encoded UTF-8.'],
])('%s %s with %j answers 400 and names the place', async (method, path, body, message) => {
  const answer = await alice.ask(method, path, body);
  expect([answer.status, answer.body]).toEqual([400, failure('INVALID_PARAMS', message)]);
});

test('what is not JSON, not told to be, too large, not there or not to be done is refused as such', async () => {
  const post = (body: string, headers = {}) => alice.ask('POST', '/sessions', body, headers);
  expect(await post('{"name":')).toMatchObject({
    status: 400,
    body: failure('PARSE_ERROR', 'The request body is not valid JSON.'),
  });
  const media = { status: 415, body: { error: { code: 'UNSUPPORTED_MEDIA_TYPE' } } };
  expect(await post('name=x', { 'Content-Type': 'application/x-www-form-urlencoded' })).toMatchObject(media);
  expect(await post('{}', { 'Content-Encoding': 'gzip' })).toMatchObject(media);
  expect(await post(JSON.stringify({ name: 'x'.repeat(70_000) }))).toMatchObject({
    status: 413,
    body: failure('BODY_TOO_LARGE', 'The request body is larger than 65536 bytes (listen.maxBody).'),
  });
  expect(await alice.ask('GET', '/nothing')).toMatchObject({
    status: 404,
    body: failure('NOT_FOUND', 'Nothing is here. GET /api/v1/openapi.json tells what there is.'),
  });
  expect((await alice.ask('GET', '')).body.error).toMatchObject({ code: 'NOT_FOUND' });
  expect((await alice.ask('GET', '/sessions/')).body.error).toMatchObject({ code: 'NOT_FOUND' });
  const method = await alice.ask('PUT', '/sessions');
  expect([method.status, method.headers.get('allow'), method.body.error]).toEqual([
    405,
    'GET, POST',
    {
      code: 'METHOD_NOT_ALLOWED',
      message: 'PUT is not allowed here. Use GET or POST.',
      details: { allowed: ['GET', 'POST'] },
    },
  ]);
  expect(await alice.ask('GET', '/stats', undefined, { Origin: 'https://evil.example' })).toMatchObject({
    status: 403,
    body: { error: { code: 'FORBIDDEN_ORIGIN' } },
  });
});

// -- a foreign session is answered as an unknown one ---------------------------------------------------------------

const BODIES: Record<string, unknown> = {
  'PATCH /sessions/{ref}': { name: 'stolen' },
  'POST /sessions/{ref}/extend': { seconds: 60 },
  'POST /sessions/{ref}/share': { alias: 'stolen', with: ['token:bob'] },
  'POST /sessions/{ref}/tools': { calls: [{ tool: 'increment' }] },
  'PUT /sessions/{ref}/state/{key}': { value: 1 },
  'PUT /sessions/{ref}/summary': { text: 'stolen' },
  'POST /sessions/{ref}/snapshots': { name: 'snap' },
  'POST /sessions/{ref}/events': { track: 'notes', type: 'x' },
};

describe('a session of somebody else', () => {
  const routes = ROUTES.filter(({ path }) => path.includes('{ref}'));

  /** What bob is told, of each way to ask for a session. */
  async function told(ref: string): Promise<string[]> {
    const answers: string[] = [];
    const note = (key: string, { status, headers, text }: Answered) => {
      const shown = [...headers].filter(([name]) => name !== 'date');
      answers.push(`${key}: ${status} ${JSON.stringify(shown)} ${text}`);
    };
    for (const { method, path } of routes) {
      const key = `${method} ${path}`;
      const at = path
        .replace('{ref}', encodeURIComponent(ref))
        .replace('{server}', 'counter')
        .replace('{tool}', 'increment')
        .replace(/\{(key|name)\}/, 'key');
      note(key, await bob.ask(method, at, BODIES[key]));
      if (method === 'GET' && path.endsWith('/events'))
        note(`${key}, followed`, await bob.ask(method, `${at}?follow=true`, BODIES[key]));
    }
    note('POST /sessions:close', await bob.ask('POST', '/sessions:close', { refs: [ref] }));
    return answers;
  }

  test('is answered on every route byte for byte as one that is not there', async () => {
    expect(routes.length).toBeGreaterThan(25);
    const { body } = await alice.ask('POST', '/sessions', { name: 'hers', state: { key: 1 }, bind: true });
    await alice.ask('POST', '/sessions/hers/snapshots', { name: 'key' });
    await alice.ask('POST', '/sessions/hers/share', { alias: 'not-for-bob', with: ['token:carol'] });
    const id = String(body.id);
    const before = (await alice.ask('GET', '/sessions/hers/state')).text;

    const foreign = { id: await told(id), name: await told('hers'), alias: await told('@not-for-bob') };
    expect((await alice.ask('GET', '/sessions/hers/state')).text).toBe(before);
    expect((await alice.ask('GET', '/sessions/hers')).body).toMatchObject({ id, state: 'active' });

    await alice.ask('DELETE', `/sessions/${id}`);
    expect(await told(id)).toEqual(foreign.id);
    await alice.ask('DELETE', `/sessions/${id}?purge=true`);
    expect(await told(id)).toEqual(foreign.id);
    expect(await told('hers')).toEqual(foreign.name);
    expect(await told('@not-for-bob')).toEqual(foreign.alias);
    for (const answer of foreign.id) expect(answer).toMatch(/: (404|403|204|200) /);
  });
});

// -- description -------------------------------------------------------------------------------------------------

test('the API describes itself: every operation, and nothing that is not there', async () => {
  const { status, body, text } = await alice.ask('GET', '/openapi.json');
  expect([status, body.openapi]).toEqual([200, '3.1.0']);
  const described = Object.entries(body.paths as Record<string, Fields>).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const routed = ROUTES.map(({ method, path }) => `${method} ${path}`);
  expect(described.sort()).toEqual(routed.filter((route) => route !== 'GET /openapi.json').sort());
  const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, place = '']) => place.split('/'));
  expect(references.length).toBeGreaterThan(20);
  for (const place of references) {
    const found = place.reduce<unknown>((part, key) => (isFields(part) ? part[key] : undefined), body);
    expect(found, place.join('/')).toBeTypeOf('object');
  }
  expect(text).not.toContain('$defs');
  const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id);
  expect(new Set(ids).size).toBe(described.length);
});

// -- two proxies -------------------------------------------------------------------------------------------------

test('T18 two processes on one store make one session of a name between them', async () => {
  using own = new TemporaryFolder();
  const config = { servers: { counter: local('counter') } };
  await using one = await ProxyProcess.start(own, config);
  await using two = await ProxyProcess.start(own, config);
  const apis = [new RawApi(one.url), new RawApi(two.url)];
  const asked = Array.from({ length: 100 }, (_, i) =>
    apis.map((api) => api.ask('POST', '/sessions', { name: `name-${i % 10}`, getOrCreate: true })),
  );
  const answers = await Promise.all(asked.flat());
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 201]));
  expect(new Set(answers.map(({ body }) => body.id)).size).toBe(10);
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(10);
});
