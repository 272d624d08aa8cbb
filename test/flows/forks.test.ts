import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Door } from '../../src/admin/door.js';
import { setLogLevel } from '../../src/logger.js';
import type { Fields } from '../../src/protocol/messages.js';
import { CHROMIUM, playwright, Site } from '../support/browser.js';
import { House } from '../support/house.js';
import { local, TemporaryFolder } from '../support/proxy.js';

setLogLevel('silent');

const FILE = 'notes-${checkpoint.slot}.json';
const notes = {
  cwd: '${session.dir}',
  checkpoint: {
    after: ['add'],
    calls: [
      { tool: 'save', args: { file: FILE }, capture: { first: { regex: '^- (.*)$' } } },
      { tool: 'save', args: { file: '${session.dir}/twin.json' } },
    ],
  },
  restore: {
    calls: [
      { tool: 'load', if: 'checkpoint.slot', args: { file: FILE } },
      {
        tool: 'add',
        ifFile: '${session.dir}/twin.json',
        if: 'capture.first',
        args: { note: 'again ${capture.first}' },
      },
    ],
  },
};

/** The text of a tool's answer. */
async function say(door: Door, ref: string, tool: string, args?: Fields): Promise<string> {
  const { content } = (await door.callTool(ref, tool, args)) as { content: { text: string }[] };
  return content.map(({ text }) => text).join('\n');
}

describe('a fork takes along what was saved of its servers', () => {
  let house: House;
  let door: Door;
  beforeEach(async () => {
    house = await House.open('local', { servers: { notes: local('keeps-notes', notes) } });
    door = house.door();
  });
  afterEach(() => house[Symbol.asyncDispose]());

  const filesOf = (id: string) => {
    const folder = join(house.folder, 'store.d', id);
    return readdirSync(folder).map((name) => ({ name, inode: statSync(join(folder, name)).ino }));
  };

  test('it begins with them, says so, and neither of the two changes the other', async () => {
    const source = await door.create({ name: 'source' });
    await say(door, 'source', 'add', { note: 'milk' });
    const fork = await door.fork('source', 'fork');
    expect(fork.bindings).toMatchObject([{ server: 'notes', state: 'disconnected' }]);
    expect(await say(door, 'fork', 'list')).toMatch(
      /Server "notes" was left with the session that this one was forked from .*: session restored at .*, as saved at .*\n- milk\n- again milk$/s,
    );
    await say(door, 'fork', 'add', { note: 'bread' });
    await say(door, 'source', 'add', { note: 'eggs' });
    expect(await say(door, 'fork', 'list')).toBe('- milk\n- again milk\n- bread');
    expect(await say(door, 'source', 'list')).toBe('- milk\n- eggs');
    const [ours, theirs] = [filesOf(source.id), filesOf(fork.id)];
    expect(theirs.map(({ name }) => name)).toContain('twin.json');
    expect(theirs.filter(({ inode }) => ours.some((one) => one.inode === inode))).toEqual([]);
    await door.close('source', { purge: true });
    await door.restart('fork');
    expect(await say(door, 'fork', 'list')).toMatch(/session restored at .*- milk\n- again milk\n- bread/s);
  });

  test('nothing else of the folder goes along, and a fork of a session without a checkpoint begins with nothing', async () => {
    const { id } = await door.create({ name: 'source' });
    const bare = await door.fork('source', 'bare');
    expect(bare.bindings).toMatchObject([{ state: 'unbound' }]);
    expect(await say(door, 'bare', 'list')).toBe('nothing');
    await say(door, 'source', 'save', { file: 'own.json' });
    await say(door, 'source', 'add', { note: 'milk' });
    const fork = await door.fork('source');
    expect(filesOf(id).map(({ name }) => name)).toContain('own.json');
    expect(
      filesOf(fork.id)
        .map(({ name }) => name)
        .sort(),
    ).toEqual(['notes-0.json', 'twin.json']);
  });

  test('a guest who forks a shared session gets its state and none of what its servers saved', async () => {
    const { id } = await door.create({ name: 'source', state: { topic: 'milk' } });
    await say(door, 'source', 'add', { note: 'milk' });
    await door.share('source', 'shared', ['token:bob']);
    const bob = house.door('bob');
    const fork = await bob.fork('@shared', 'taken');
    expect(await bob.getState('taken')).toEqual({ topic: 'milk' });
    expect(await say(bob, 'taken', 'list')).toBe('nothing');
    expect(fork.id).not.toBe(id);
  });
});

test('recorded calls go along with a fork, with their folder in the place of the source', async () => {
  await using house = await House.open('local', {
    servers: {
      notes: local('keeps-notes', { cwd: '${session.dir}', replay: { allow: ['add', 'save'] } }),
    },
  });
  const door = house.door();
  const source = await door.create({ name: 'source' });
  await say(door, 'source', 'add', { note: 'milk' });
  const folder = join(house.folder, 'store.d', source.id);
  await say(door, 'source', 'save', { file: join(folder, 'mine.json') });
  const before = statSync(join(folder, 'mine.json')).mtimeMs;
  const fork = await door.fork('source', 'fork');
  expect(await say(door, 'fork', 'list')).toMatch(/restored at .* by 2 recorded calls.*- milk/s);
  expect(readFileSync(join(house.folder, 'store.d', fork.id, 'mine.json'), 'utf8')).toBe('["milk"]');
  expect(statSync(join(folder, 'mine.json')).mtimeMs).toBe(before);
});

test.skipIf(!CHROMIUM)(
  'the fork of a session with a real browser is logged in, in a browser of its own',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using house = await House.open('local', { servers: { browser: playwright(folder) } });
    const door = house.door();
    const where = (ref: string) =>
      say(door, ref, 'browser_evaluate', {
        function: '() => location.pathname + " " + document.body.innerText',
      });
    await door.create({ name: 'source' });
    await door.callTool('source', 'browser_navigate', { url: `${site.origin}/account?login=alice` });
    const { id } = await door.fork('source', 'fork');
    const saved = join(house.folder, 'store.d', id);
    expect(readdirSync(saved).map((name) => statSync(join(saved, name)).mode & 0o777)).toEqual([0o600]);
    expect(await where('fork')).toMatch(/session restored at .*\/account.*signed in as alice/s);
    await door.callTool('fork', 'browser_navigate', { url: `${site.origin}/other?login=bob` });
    await door.callTool('source', 'browser_navigate', { url: `${site.origin}/home` });
    expect(await where('source')).toMatch(/\/home.*signed in as alice/s);
  },
);
