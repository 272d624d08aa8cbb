import Database from 'better-sqlite3';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { TemporaryFolder } from '../support/proxy.js';
import { setLogLevel } from '../../src/logger.js';
import { FakeClient, World } from '../support/world.js';

setLogLevel('silent');

test('S4 with a session go the bindings of its single calls', async () => {
  using world = new World({ servers: { one: { scope: 'call' } } });
  const session = world.session();
  await session.request(new FakeClient().call('x'));
  await world.committed();
  world.store.sessions.delete(session.id);
  expect(world.store.bindings.get(`call-${session.id}`, 'one')).toBeUndefined();
});

test('S5 the database of another program is refused and left alone', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'places.sqlite');
  const other = new Database(file);
  other.exec('CREATE TABLE bookmarks (url TEXT)');
  other.close();
  const before = readFileSync(file);
  expect(() => openSqliteStore(file)).toThrow(/no store/);
  expect(readFileSync(file).equals(before)).toBe(true);
});

test('S6 a file that is no store keeps its rights', () => {
  using folder = new TemporaryFolder();
  const file = folder.file('notes.txt', 'no database'.repeat(500));
  const before = statSync(file).mode;
  expect(() => openSqliteStore(file)).toThrow();
  expect(statSync(file).mode).toBe(before);
});
