import Database from 'better-sqlite3';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Door } from '../../src/admin/door.js';
import { setLogLevel } from '../../src/logger.js';
import type { Fields } from '../../src/protocol/messages.js';
import { House, type Way } from '../support/house.js';
import { fixture, local, until } from '../support/proxy.js';

setLogLevel('silent');

const counter = { servers: { counter: local('counter') } };
const broken = { command: process.execPath, args: ['-e', 'process.exit(1)'] };

const metaOf = (result: Fields) => (result._meta as Record<string, Fields>)['mcp-session-proxy/session'];

describe.each<Way>(['local', 'remote'])('through the %s door', (way) => {
  let house: House;
  async function open(config: Fields = counter): Promise<Door> {
    house = await House.open(way, config);
    return house.door();
  }
  afterEach(() => house[Symbol.asyncDispose]());

  test('F3 every result of a tool says which session it came from, and whether that is temporary', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'a' });
    expect(metaOf(await door.callTool('a', 'increment'))).toMatchObject({ id, temporary: false });
    const once = metaOf(await door.callTool(undefined, 'increment'));
    expect(once).toMatchObject({ temporary: true });
    expect(once?.id).not.toBe(id);
  });

  test('F5 a call holds its session, however short its idle time', async () => {
    const door = await open();
    await door.create({ name: 'a', ttlSeconds: 0.1 });
    await door.callTool('a', 'increment');
    const call = door.callTool('a', 'sleep', { ms: 600 });
    await until(async () => (await door.stats()).requests === 1);
    expect((await door.info('a')).expiresAt).toBeNull();
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await house.door('root').collect();
      expect((await door.info('a')).state).toBe('active');
    }
    expect(await call).toMatchObject({ content: [{ text: 'slept 600' }] });
    await until(async () => {
      await house.door('root').collect();
      return (await door.info('a')).state === 'paused';
    });
  });

  test('F12 of an atomic start that fails nothing is left: no session and no server', async () => {
    const door = await open({ servers: { one: local('counter'), two: local('counter'), bad: broken } });
    await expect(door.create({ name: 'a', bind: 'atomic' })).rejects.toMatchObject({
      code: 'SERVER_UNAVAILABLE',
    });
    expect(await door.find('a')).toBeNull();
    expect(await door.stats()).toEqual({ sessions: {}, running: 0, requests: 0 });
    const made = await door.create({ name: 'a', servers: ['one', 'two'], bind: 'atomic' });
    expect(made.bindings.map(({ state }) => state)).toEqual(['connected', 'connected']);
    const some = await door.create({ name: 'b', bind: true });
    expect(some.bindings.map(({ state }) => state)).toEqual(['connected', 'connected', 'failed']);
  });

  test('T2 a session without a name has an id of 128 random bits, like no other', async () => {
    const door = await open();
    const made = await door.createMany(Array.from({ length: 50 }, () => ({})));
    const ids = made.flatMap((item) => (item.ok ? [item.value.id] : []));
    expect(new Set(ids).size).toBe(50);
    expect(ids.filter((id) => !/^ses_[\w-]{22}$/.test(id))).toEqual([]);
  });

  test('T16 a large body is recorded by its length and hash, and is nowhere in the file', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    const screenshot = 'iVBORw0KGgo'.repeat(100_000);
    await door.callTool('a', 'echo', { text: 'x', screenshot });
    const [call] = (await door.events('a')).filter(({ type }) => type === 'call');
    expect(call?.data.arguments).toMatchObject({
      text: 'x',
      screenshot: { length: screenshot.length, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
    });
    expect(house.bytes().includes(Buffer.from('iVBORw0KGgo'.repeat(20)))).toBe(false);
  });

  test('S14 what is secret is in no byte of the store', async () => {
    const door = await open({
      servers: { counter: local('counter', { env: { API_KEY: 'a-secret-of-the-config' } }) },
      sessions: { events: { redact: ['pin'], redactPatterns: ['4\\d{15}'] } },
    });
    await door.create({ name: 'a' });
    const args = {
      text: 'card 4111111111111111 and a-secret-of-the-config',
      pin: 'a-secret-by-its-own-name',
      login: { password: 'a-secret-by-any-name' },
    };
    await door.callTool('a', 'echo', args);
    expect((await door.events('a')).some(({ type }) => type === 'call')).toBe(true);
    const bytes = house.bytes();
    expect(bytes.includes(Buffer.from('card '))).toBe(true);
    for (const secret of ['4111111111111111', 'a-secret', 'the-token-of-'])
      expect([secret, bytes.includes(Buffer.from(secret))]).toEqual([secret, false]);
  });
});

test('F11 each session has a folder of its own, one file name does not clash, and a closed one leaves none', async () => {
  const keeps = {
    command: process.execPath,
    args: [fixture('counter')],
    cwd: '${session.dir}',
    env: { HOME: '${session.dir}' },
  };
  await using house = await House.open('local', { servers: { counter: keeps } });
  const door = house.door();
  const [a, b] = [await door.create({ name: 'a', bind: true }), await door.create({ name: 'b', bind: true })];
  const folders = [a, b].map(({ id }) => join(house.folder, 'store.d', id));
  expect(folders.map((folder) => existsSync(folder))).toEqual([true, true]);
  await door.close('a', { force: true });
  expect(folders.map((folder) => existsSync(folder))).toEqual([false, true]);
  expect(readdirSync(join(house.folder, 'store.d'))).toEqual([b.id]);
});

test('T17 programs may read the store beside the proxy, and a store in memory leaves no file', async () => {
  await using house = await House.open('local', counter);
  await house.door().create({ name: 'shared' });
  const db = new Database(join(house.folder, 'store.db'), { readonly: true });
  expect(db.prepare('SELECT name FROM sessions').pluck().all()).toEqual(['shared']);
  db.close();
  await using memory = await House.open('local', { ...counter, store: ':memory:' });
  await memory.door().create({ name: 'gone' });
  expect(readdirSync(memory.folder)).toEqual(['mcp-proxy.yaml']);
  expect(readFileSync(join(house.folder, 'mcp-proxy.yaml'), 'utf8')).toContain('store.db');
});
