import { afterEach, describe, expect, test } from 'vitest';
import type { Door } from '../../src/admin/door.js';
import { setLogLevel } from '../../src/logger.js';
import type { Fields } from '../../src/protocol/messages.js';
import { RawClient, type Received } from '../support/client.js';
import { House, tokenOf, type User, type Way } from '../support/house.js';
import { local } from '../support/proxy.js';

setLogLevel('silent');

const counter = { servers: { counter: local('counter') } };
const forbidden = { code: 'FORBIDDEN' };

describe.each<Way>(['local', 'remote'])('through the %s door', (way) => {
  let house: House;
  async function open(config: Fields = counter): Promise<Door> {
    house = await House.open(way, config);
    return house.door();
  }
  afterEach(() => house[Symbol.asyncDispose]());

  test('G14 a guest works in a shared session, and neither changes, closes nor shares it', async () => {
    const door = await open();
    const { id } = await door.create({ name: 'mine' });
    await door.share('mine', 'ours', ['token:bob']);
    const bob = house.door('bob');
    expect(await bob.callTool('@ours', 'increment')).toMatchObject({ content: [{ text: '1' }] });
    await expect(bob.update('@ours', { name: 'his' })).rejects.toMatchObject(forbidden);
    await expect(bob.update(id, { ttlSeconds: 1 })).rejects.toMatchObject(forbidden);
    await expect(bob.close('@ours')).rejects.toMatchObject(forbidden);
    await expect(bob.close(id, { force: true, purge: true })).rejects.toMatchObject(forbidden);
    await expect(bob.share('@ours', 'open', ['*'])).rejects.toMatchObject(forbidden);
    expect(await bob.closeMany([id])).toMatchObject([{ ok: false }]);
    expect(await door.info(id)).toMatchObject({ name: 'mine', state: 'active' });
    expect(await house.door('root').update(id, { name: 'renamed' })).toMatchObject({ name: 'renamed' });
    expect(await house.door('root').close(id)).toBe(true);
  });

  test('G14 a guest shares the session’s own state with the owner, and not what the owner keeps for all sessions', async () => {
    const door = await open();
    await door.create({ name: 'mine', state: { topic: 'cats', 'user:pin': 1234 } });
    await door.share('mine', 'ours', ['token:bob']);
    const bob = house.door('bob');
    expect(await bob.getState('@ours')).toEqual({ topic: 'cats' });
    await bob.setValue('@ours', 'topic', 'dogs');
    await expect(bob.getValue('@ours', 'user:pin')).rejects.toMatchObject(forbidden);
    await expect(bob.setValue('@ours', 'user:pin', 0)).rejects.toMatchObject(forbidden);
    await expect(bob.deleteValue('@ours', 'user:pin')).rejects.toMatchObject(forbidden);
    expect(await door.getState('mine')).toEqual({ topic: 'dogs', 'user:pin': 1234 });
  });

  test('M19 everybody counts their own sessions, administrators all', async () => {
    const door = await open();
    await door.create({ name: 'a', bind: true });
    await house.door('bob').createMany([{ name: 'a' }, { name: 'b' }]);
    expect(await door.stats()).toEqual({ sessions: { active: 1 }, running: 1, requests: 0 });
    expect(await house.door('bob').stats()).toEqual({ sessions: { idle: 2 }, running: 0, requests: 0 });
    expect(await house.door('root').stats()).toMatchObject({ sessions: { active: 1, idle: 2 }, running: 1 });
  });

  test('G4 only administrators clear up', async () => {
    const door = await open();
    await expect(door.collect()).rejects.toMatchObject(forbidden);
    expect(await house.door('root').collect()).toEqual({ paused: 0, deleted: 0 });
  });

  test('S2 renaming and changing a session are updates of it', async () => {
    const door = await open();
    const made = await door.create({ name: 'a' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const renamed = await door.update('a', { name: 'b' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    const changed = await door.update('b', { ttlSeconds: 60 });
    expect(renamed.createdAt).toBe(made.createdAt);
    expect(Date.parse(renamed.updatedAt)).toBeGreaterThan(Date.parse(made.updatedAt));
    expect(Date.parse(changed.updatedAt)).toBeGreaterThan(Date.parse(renamed.updatedAt));
    await house.restart();
    expect((await house.door().info('b')).updatedAt >= changed.updatedAt).toBe(true);
  });

  test('M6 a tool that a lone server does not have is not found, and wrong arguments are the server’s failure', async () => {
    const door = await open();
    await door.create({ name: 'a' });
    await expect(door.callTool('a', 'nothing')).rejects.toMatchObject({ code: 'TOOL_NOT_FOUND' });
    await expect(door.callTool(undefined, 'nothing')).rejects.toMatchObject({ code: 'TOOL_NOT_FOUND' });
  });
});

test('G14 the model of a guest has the guest’s sessions, not the owner’s', async () => {
  await using house = await House.open('remote', { ...counter, sessions: { tools: true } });
  const alice = house.door();
  const { id: secret } = await alice.create({ name: 'secret' });
  const { id } = await alice.create({ name: 'mine', state: { 'user:pin': 1234 } });
  await alice.share('mine', 'ours', ['token:bob']);
  const client = await open('bob', `${house.url}/s/@ours`);
  const value = async (tool: string, args: Fields = {}) => {
    const { result }: Received = await client.call(tool, args);
    return result?.structuredContent ?? (result?._meta as Fields | undefined)?.['mcp-session-proxy/error'];
  };
  expect(await value('session_info')).toMatchObject({ id });
  expect(await value('session_list')).toMatchObject({ sessions: [] });
  expect(await value('session_use', { session: 'secret' })).toBe('SESSION_NOT_FOUND');
  expect(await value('session_use', { session: secret })).toBe('SESSION_NOT_FOUND');
  expect(await value('session_state_get')).toEqual({});
  expect(await value('session_close', { session: id })).toBe('FORBIDDEN');
  const { result } = await client.request('resources/read', { uri: 'session://state' });
  expect(JSON.stringify(result)).not.toContain('1234');
});

async function open(user: User, url: string): Promise<RawClient> {
  const client = new RawClient(url);
  client.headers = { Authorization: `Bearer ${tokenOf(user)}` };
  await client.initialize();
  return client;
}
