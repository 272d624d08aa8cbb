import Database from 'better-sqlite3';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { sessionRow } from '../contract/store/medium.js';
import { TemporaryFolder } from '../support/proxy.js';

/** The message with which a file is refused, FILE in place of its path. */
function refusal(file: string): string {
  try {
    openSqliteStore(file).close();
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    expect(error.code).toBe('STORE_FAILED');
    return error.message.replaceAll(file, 'FILE');
  }
  throw new Error('the file was taken');
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

test.runIf(process.platform !== 'win32')('the store and its folders are readable by this user alone', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'state', 'mcp-session-proxy', 'sessions.db');
  const before = process.umask(0o000);
  try {
    const store = openSqliteStore(file);
    store.nextId();
    const files = [file, `${file}-wal`, `${file}-shm`];
    expect(files.map(mode)).toEqual(['600', '600', '600']);
    const folders = ['state', 'state/mcp-session-proxy'].map((path) => join(folder.path, path));
    expect(folders.map(mode)).toEqual(['700', '700']);
    expect(process.umask()).toBe(0o000);
    store.close();
  } finally {
    process.umask(before);
  }
});

test.runIf(process.platform !== 'win32')('a store that others could read is closed to them', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  openSqliteStore(file).close();
  chmodSync(file, 0o644);
  openSqliteStore(file).close();
  expect(mode(file)).toBe('600');
});

test('a folder that was there before keeps its rights', () => {
  using folder = new TemporaryFolder();
  const path = join(folder.path, 'shared');
  mkdirSync(path, { mode: 0o755 });
  openSqliteStore(join(path, 'sessions.db')).close();
  expect(mode(path)).toBe('755');
});

test('a file that is no database is refused with a mend and not changed by a byte', () => {
  using folder = new TemporaryFolder();
  const text = 'My notes, which nobody may overwrite.\n'.repeat(200);
  const file = folder.file('notes.txt', text);
  expect(refusal(file)).toBe(
    'Cannot open the store FILE: file is not a database. ' +
      'It is damaged or no store: move it aside (with its -wal and -shm) and start again.',
  );
  expect(readFileSync(file, 'utf8')).toBe(text);
});

test('a store whose beginning was overwritten is refused with a mend', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  openSqliteStore(file).close();
  const bytes = readFileSync(file);
  bytes.fill(0x5a, 0, 4096);
  writeFileSync(file, bytes);
  expect(refusal(file)).toBe(
    'Cannot open the store FILE: file is not a database. ' +
      'It is damaged or no store: move it aside (with its -wal and -shm) and start again.',
  );
});

test('a store that was cut off is refused with a mend', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const store = openSqliteStore(file);
  for (let i = 0; i < 500; i++) store.sessions.insert(sessionRow(`session ${i}`));
  store.close();
  truncateSync(file, 6000);
  expect(refusal(file)).toBe(
    'Cannot open the store FILE: database disk image is malformed. ' +
      'It is damaged or no store: move it aside (with its -wal and -shm) and start again.',
  );
});

test('a folder in place of the file is refused with a mend', () => {
  using folder = new TemporaryFolder();
  expect(refusal(folder.path)).toBe(
    'Cannot open the store FILE: unable to open database file. ' +
      'Check that its folder exists and may be written by you, or name another file under "store".',
  );
});

test('a file in place of the folder is refused with a mend', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.file('plain', ''), 'sessions.db');
  expect(refusal(file)).toMatch(
    /^Cannot open the store FILE: (EEXIST|ENOTDIR): .*\. Check that its folder exists and may be written by you, or name another file under "store"\.$/,
  );
});

test('an empty file becomes a store', () => {
  using folder = new TemporaryFolder();
  const file = folder.file('sessions.db', '');
  const store = openSqliteStore(file);
  expect(store.sessions.insert(sessionRow('one'))).toBe(true);
  store.close();
  using again = new Closing(file);
  expect(again.store.sessions.get('one')).toBeDefined();
});

test('after closing everything is in the one file', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const store = openSqliteStore(file);
  store.sessions.insert(sessionRow('one'));
  store.close();
  expect([`${file}-wal`, `${file}-shm`].filter(existsSync)).toEqual([]);
});

test('the file says whose it is and keeps a write-ahead log', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  openSqliteStore(file).close();
  const db = new Database(file, { readonly: true });
  expect(db.pragma('application_id', { simple: true })).toBe(Buffer.from('mcpS').readInt32BE());
  expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
  db.close();
});

class Closing implements Disposable {
  readonly store;

  constructor(file: string) {
    this.store = openSqliteStore(file);
  }

  [Symbol.dispose](): void {
    this.store.close();
  }
}
