import Database from 'better-sqlite3';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { migrate } from '../../src/store/migrations.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { sessionRow } from '../contract/store/medium.js';
import { fixture, TemporaryFolder } from '../support/proxy.js';

const version = (db: Database.Database) => Number(db.pragma('user_version', { simple: true }));
const tables = (db: Database.Database) =>
  db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").pluck().all();

/** A history of a schema: each step makes the table of its number. */
const steps = ['CREATE TABLE one (a)', 'CREATE TABLE two (a)', 'CREATE TABLE three (a)'];

test('a fresh file is lifted through all steps', () => {
  const db = new Database(':memory:');
  migrate(db, 'FILE', steps);
  expect([version(db), tables(db)]).toEqual([3, ['one', 'three', 'two']]);
});

test.each([0, 1, 2, 3])('a file that has %i steps behind it takes the rest alone', (done) => {
  const db = new Database(':memory:');
  migrate(db, 'FILE', steps.slice(0, done));
  expect(version(db)).toBe(done);
  migrate(db, 'FILE', steps);
  expect([version(db), tables(db)]).toEqual([3, ['one', 'three', 'two']]);
});

test('S6 a store of today is lifted by a step of tomorrow and keeps what is in it', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const store = openSqliteStore(file);
  store.sessions.insert(sessionRow('one', { name: 'work' }));
  store.close();
  const db = new Database(file);
  const today = version(db);
  migrate(db, file, [
    ...Array<string>(today).fill('SELECT no_such_function()'),
    "ALTER TABLE sessions ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'",
  ]);
  expect(version(db)).toBe(today + 1);
  expect(db.prepare('SELECT id, name, colour FROM sessions').get()).toEqual({
    id: 'one',
    name: 'work',
    colour: 'red',
  });
  db.close();
});

test('S6 a store of the first version is lifted to today’s and keeps its sessions, state and history', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const old = new Database(file);
  old.exec(readFileSync(new URL('../fixtures/schema-1.sql', import.meta.url), 'utf8'));
  old.exec(`
    INSERT INTO sessions VALUES ('ses_1', 'work', 'local', 'paused', 0, NULL, '{"ttl":1000}', 1, 2, 3);
    INSERT INTO state VALUES ('session', 'ses_1', 'goal', '"tea"', 4, 2);
    INSERT INTO events VALUES ('ses_1', 'main', 1, 1, 2, 'created', '{}');
    INSERT INTO bindings VALUES ('ses_1', 'browser', 3, 'ended');
    INSERT INTO attachments VALUES ('att_1', 'ses_1', '{}', 1, 1, 7);
    INSERT INTO children VALUES (123, 'then', 'ses_0');
  `);
  old.close();
  const store = openSqliteStore(file);
  expect(store.sessions.byName('local', 'work')).toMatchObject({
    id: 'ses_1',
    state: 'paused',
    settings: '{"ttl":1000}',
    lastActiveAt: 3,
  });
  expect(store.state.list('session', 'ses_1')).toMatchObject([{ key: 'goal', value: '"tea"', version: 4 }]);
  expect(store.events.last('ses_1', 'main', 10)).toMatchObject([{ seq: 1, type: 'created' }]);
  expect(store.bindings.get('ses_1', 'browser')).toMatchObject({ generation: 3, ended: 'ended' });
  store.close();
  const db = new Database(file);
  const fresh = new Database(':memory:');
  migrate(fresh, 'FILE');
  expect([version(db), tables(db)]).toEqual([version(fresh), tables(fresh)]);
  expect(db.prepare('SELECT used_at FROM attachments').pluck().get()).toBe(7);
  expect(db.prepare('SELECT marker FROM children').pluck().get()).toBe('');
  db.close();
});

test('S10 two processes write five hundred values each, and all are there, lone surrogates too', async () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const writers = ['one', 'two'].map((name) =>
    spawn(process.execPath, [fixture('writes-state'), file, name], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  expect(await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0] as number))).toEqual(
    [0, 0],
  );
  const store = openSqliteStore(file);
  for (const name of ['one', 'two']) {
    const values = store.state.list('session', name).map(({ value }) => JSON.parse(value) as unknown);
    expect(new Set(values)).toEqual(new Set(Array.from({ length: 500 }, (_, i) => `lone \ud800 ${i}`)));
  }
  expect(store.state.list('app', '')).toHaveLength(1000);
  store.close();
});

test('a step that fails leaves the file as the step before it made it', () => {
  const db = new Database(':memory:');
  expect(() => migrate(db, 'FILE', ['CREATE TABLE one (a)', 'CREATE TABLE two (a); nonsense'])).toThrow(
    /syntax error/,
  );
  expect([version(db), tables(db)]).toEqual([1, ['one']]);
});

test('a file of a newer program is refused and not touched', () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  openSqliteStore(file).close();
  const db = new Database(file);
  const today = version(db);
  db.pragma('user_version = 1000');
  const before = tables(db);
  db.close();
  expect(() => openSqliteStore(file)).toThrow(
    new ProxyError(
      'STORE_FAILED',
      `The store ${file} was written by a newer mcp-session-proxy (schema 1000, this one knows ${today}). ` +
        'Use that version, or another "store" file.',
    ),
  );
  const after = new Database(file);
  expect([version(after), tables(after)]).toEqual([1000, before]);
  after.close();
});

test('processes that open a fresh store at once all find it whole', async () => {
  using folder = new TemporaryFolder();
  const file = join(folder.path, 'sessions.db');
  const openers = Array.from({ length: 4 }, () => new Opener(file));
  await Promise.all(openers.map((opener) => opener.line()));
  for (const opener of openers) opener.go();
  const answers = await Promise.all(openers.map((opener) => opener.line()));
  expect(answers).toEqual(['stored', 'stored', 'stored', 'stored']);
  const store = openSqliteStore(file);
  expect(openers.map(({ pid }) => store.sessions.get(`session of ${pid}`)?.name)).toEqual(
    openers.map(({ pid }) => String(pid)),
  );
  store.close();
});

/** A process that opens a store when it is told to, and stores a session in it. */
class Opener {
  readonly #process;
  readonly #lines: string[] = [];
  #heard = () => {};

  constructor(file: string) {
    this.#process = spawn(process.execPath, [fixture('opens-store'), file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdout.on('data', (chunk: Buffer) => {
      this.#lines.push(...chunk.toString().trim().split('\n'));
      this.#heard();
    });
  }

  get pid() {
    return this.#process.pid;
  }

  go(): void {
    this.#process.stdin.end('go\n');
  }

  async line(): Promise<string> {
    if (this.#lines.length === 0) {
      await Promise.race([
        new Promise<void>((resolve) => (this.#heard = resolve)),
        once(this.#process, 'exit'),
      ]);
    }
    return this.#lines.shift() ?? 'left without a word';
  }
}
