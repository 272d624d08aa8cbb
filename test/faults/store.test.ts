import Database from 'better-sqlite3';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import { setLogLevel } from '../../src/logger.js';
import { migrate, MIGRATIONS } from '../../src/store/migrations.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { sessionRow } from '../contract/store/medium.js';
import { RawClient, textOf } from '../support/client.js';
import { Dice, rounds, tell } from '../support/faults.js';
import { CLI, fixture, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { workerOf } from '../support/worker.js';

setLogLevel('silent');

const PAGE = 4096;
const SESSIONS = 200;

/** A store with something in it, closed. */
function filled(folder: TemporaryFolder): string {
  const file = join(folder.path, 'store.db');
  const store = openSqliteStore(file);
  for (let i = 0; i < SESSIONS; i++) {
    store.sessions.insert(sessionRow(`session ${i}`, { name: `name-${i}` }));
    store.state.put('session', `session ${i}`, 'key', JSON.stringify('value'.repeat(50)), 1);
  }
  store.close();
  return file;
}

/** What a start of the proxy makes of the store, after one that ended without a word. */
function openAfterCrash(file: string): 'opened' | 'refused' {
  try {
    const store = openSqliteStore(file);
    try {
      store.check();
      for (let i = 0; i < SESSIONS; i++) {
        const row = store.sessions.get(`session ${i}`);
        // Whatever is read is what was written.
        if (row) expect(row).toEqual(sessionRow(`session ${i}`, { name: `name-${i}` }));
      }
      return 'opened';
    } finally {
      store.close();
    }
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    expect(error.code).toBe('STORE_FAILED');
    expect(error.message).toContain(file);
    expect(error.message).toMatch(/move it aside \(with its -wal and -shm\)/);
    return 'refused';
  }
}

test('a store with pages overwritten or cut off is refused with advice and left as it is, or read as it was written', () => {
  using folder = new TemporaryFolder();
  const dice = new Dice();
  const whole = readFileSync(filled(folder));
  const counts = { opened: 0, refused: 0 };
  const trials = rounds(400);
  for (let trial = 0; trial < trials; trial++) {
    const file = join(folder.path, `store-${trial}.db`);
    const bytes = Buffer.from(whole);
    const kind = dice.roll(3);
    const at = dice.roll(whole.length / PAGE) * PAGE;
    if (kind === 0) bytes.fill(0, at, at + PAGE);
    else for (let i = at; i < at + PAGE; i++) if (kind === 1) bytes[i] = dice.roll(256);
    writeFileSync(file, bytes);
    if (kind === 2) truncateSync(file, 1 + dice.roll(whole.length - 1));
    const before = readFileSync(file);
    const outcome = openAfterCrash(file);
    counts[outcome] += 1;
    if (outcome === 'refused') expect(readFileSync(file).equals(before), `seed ${dice.seed}`).toBe(true);
  }
  // What was zeroed or overwritten may have been a free page: then there is nothing to find.
  expect(counts.refused).toBeGreaterThan(trials / 2);
  tell('damaged stores', { seed: dice.seed, trials, ...counts });
});

test('a damaged store is told at the start after a crash, and its sessions are not replaced by none', async () => {
  using folder = new TemporaryFolder();
  const config = { servers: { counter: local('counter') } };
  const first = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(first.url);
  for (let i = 0; i < 30; i++) await client.text('echo', { text: 'x'.repeat(2000) });
  await first.kill();
  const file = join(folder.path, 'store.db');
  const db = new Database(file);
  db.pragma('wal_checkpoint(TRUNCATE)');
  const root = Number(db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'state'").pluck().get());
  db.close();
  const bytes = readFileSync(file);
  bytes.fill(0, (root - 1) * PAGE, root * PAGE);
  writeFileSync(file, bytes);

  await expect(ProxyProcess.start(folder, config)).rejects.toThrow(
    /exited with [12]:.*does not hold together/s,
  );
  expect(readFileSync(file).equals(bytes)).toBe(true);
});

test.runIf(process.platform === 'linux')(
  'on a full disk calls and new sessions are refused and not carried out, and all goes on when there is room',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const config = { servers: { counter: local('counter') } };
    const proxy = await ProxyProcess.start(folder, config);
    const client = await RawClient.open(proxy.url);
    expect(await client.text('increment')).toBe('1');
    // No file may grow beyond its first byte: what a full disk does to a file, without a disk.
    const limit = (bytes: string) =>
      execFileSync('prlimit', ['--pid', String(workerOf(proxy)), `--fsize=${bytes}:unlimited`]);
    const times = rounds(10);
    const refusal = { 'mcp-session-proxy/error': 'STORE_FAILED' };
    let done = 1;
    for (let time = 0; time < times; time++) {
      limit('1');
      // The first one may show that the disk is full: it took place, and is answered. No other is sent.
      if ((await client.text('increment')) === String(done + 1)) done += 1;
      for (let call = 0; call < 3; call++)
        expect((await client.call('increment')).result?._meta).toMatchObject(refusal);
      const begin = {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'late', version: '1' },
      };
      const refused = await new RawClient(proxy.url).post({
        jsonrpc: '2.0',
        id: 1,
        method: 'initialize',
        params: begin,
      });
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      const [told] = await client.read(refused);
      expect(told?.error?.data?.code).toBe('STORE_FAILED');
      expect(told?.error?.message).toMatch(/store\.db could not be written: .*Nothing was done; free space/);
      limit('unlimited');
      await until(async () => (await client.text('get')) === String(done));
      expect(await client.text('increment')).toBe(String(++done));
      const late = await RawClient.open(proxy.url);
      expect(await late.text('increment')).toBe('1');
    }
    expect(proxy.process.exitCode).toBe(null);
    await proxy.kill();
    await using next = await ProxyProcess.start(folder, config);
    expect(textOf(await new RawClient(next.url, client.session).call('get'))).toMatch(/\n0$/);
  },
);

test.runIf(process.platform === 'linux')(
  'a store that may be read and not written is refused in one message, whoever asks',
  () => {
    using folder = new TemporaryFolder();
    const store = filled(folder);
    // Root may write everywhere: then the proxy runs as somebody who may not.
    const other = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    chmodSync(folder.path, 0o755);
    const start = (file: string) => {
      const config = folder.file(
        'mcp-proxy.yaml',
        JSON.stringify({ store: file, servers: { one: local('counter') } }),
      );
      chmodSync(config, 0o644);
      const args = [CLI, 'serve', '--http', '127.0.0.1:0', '--config', config];
      return spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000, ...other });
    };
    const closed = join(folder.path, 'closed');
    mkdirSync(closed);
    copyFileSync(store, join(closed, 'store.db'));
    const bytes = readFileSync(store);
    if (other.uid !== undefined)
      for (const path of [closed, join(closed, 'store.db')]) chownSync(path, 65_534, 65_534);
    chmodSync(join(closed, 'store.db'), 0o600);
    chmodSync(closed, 0o555);
    for (const file of [join(closed, 'store.db'), join(closed, 'none.db')]) {
      const { status, stderr } = start(file);
      expect({ file, status, stderr }).toMatchObject({ status: 1 });
      expect(stderr).toContain(file);
      expect(stderr).toMatch(/Check that its folder exists and may be written by you/);
    }
    chmodSync(closed, 0o755);
    expect(readFileSync(join(closed, 'store.db')).equals(bytes)).toBe(true);
  },
);

/** The statements of one step. */
const statements = (step: string) =>
  step.split(/;\s*\n|;\s*$/).filter((statement) => statement.trim() !== '');

const schemaOf = (db: Database.Database) =>
  db.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all();

test('a migration that fails at any of its statements leaves the file as it was, and the next one goes through', () => {
  const fresh = new Database(':memory:');
  migrate(fresh, 'FILE');
  let failures = 0;
  for (const [number, step] of MIGRATIONS.entries()) {
    const parts = statements(step);
    for (let done = 0; done <= parts.length; done++) {
      const db = new Database(':memory:');
      const before = MIGRATIONS.slice(0, number);
      migrate(db, 'FILE', before);
      const schema = schemaOf(db);
      const broken = [...parts.slice(0, done), 'SELECT no_such_function()'].join(';\n');
      expect(() => migrate(db, 'FILE', [...before, broken])).toThrow(/no_such_function/);
      expect([Number(db.pragma('user_version', { simple: true })), schemaOf(db)]).toEqual([number, schema]);
      migrate(db, 'FILE');
      expect(schemaOf(db)).toEqual(schemaOf(fresh));
      failures += 1;
    }
  }
  tell('migrations broken off', { steps: MIGRATIONS.length, failures });
});

test(
  'a migration that is killed at any moment leaves a store that opens with all that was in it',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const dice = new Dice();
    const counts = { before: 0, between: 0, after: 0 };
    const times = rounds(60);
    for (let time = 0; time < times; time++) {
      const file = join(folder.path, `store-${time}.db`);
      const old = new Database(file);
      old.pragma('journal_mode = WAL');
      migrate(old, file, MIGRATIONS.slice(0, 1));
      old.pragma(`application_id = ${Buffer.from('mcpS').readInt32BE()}`);
      const row = "('one', 'work', 'local', 'idle', 0, NULL, '{}', 1, 1, 1)";
      old.exec(`INSERT INTO sessions VALUES ${row}`);
      old.close();
      const child = spawn(process.execPath, [fixture('migrates'), file], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await once(child.stdout, 'data');
      child.stdin.end('go\n');
      const delay = dice.roll(25);
      setTimeout(() => child.kill('SIGKILL'), delay);
      await once(child, 'exit');
      const found = new Database(file, { readonly: true });
      const version = Number(found.pragma('user_version', { simple: true }));
      found.close();
      counts[version === 1 ? 'before' : version === MIGRATIONS.length ? 'after' : 'between'] += 1;
      const store = openSqliteStore(file);
      store.check();
      expect(store.sessions.get('one'), `seed ${dice.seed}`).toEqual(sessionRow('one', { name: 'work' }));
      store.close();
    }
    tell('migrations killed', { seed: dice.seed, times, ...counts });
  },
);
