import Database from 'better-sqlite3';
import { chmodSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { checkpointTable } from './checkpoints.js';
import { migrate } from './migrations.js';
import { eventTable } from './events.js';
import { Health } from './health.js';
import { processTable } from './processes.js';
import { attachmentTable, bindingTable, hintTable, serverTable, sessionTable } from './sessions.js';
import { shareTable, snapshotTable, stateTable } from './state.js';
import { streamTable } from './streams.js';
import type { Store } from './types.js';

/** Marks the file as ours: "mcpS". */
const APPLICATION_ID = 0x6d637053;

/** WAL-reset bug in all SQLite from 3.7.0 on: two connections could lose a commit. */
const OLDEST_SQLITE = [3, 51, 3] as const;

/** Ids are reserved this many at a time, so that a crash repeats none and few calls pay for a write. */
const ID_BLOCK = 4096;
const ID_LIMIT = 2 ** 31 - ID_BLOCK;

/** Where several wait, a commit takes place at most so often: one sync to disk then serves them all. Milliseconds. */
const GROUP_INTERVAL = 1;

/** A larger store is not looked through at a start: that took too long. Bytes. */
const LARGEST_CHECKED = 1024 ** 3;
const PAGE_SIZE = 4096;

interface Write {
  job: () => void;
  synced: boolean;
  resolve: () => void;
  reject: (error: ProxyError) => void;
}

/** How long a statement waits for other processes on the same file, milliseconds. */
const LOCK_WAIT = 5000;

/**
 * Opens (and first creates) the SQLite store, readable by this user alone.
 * @param file a path, or `:memory:` for a store that ends with the process
 * @throws {ProxyError} STORE_FAILED naming the file and the mend
 */
export function openSqliteStore(file: string): Store {
  try {
    return new SqliteStore(openDatabase(file), file);
  } catch (error) {
    if (error instanceof ProxyError) throw error;
    throw new ProxyError(
      'STORE_FAILED',
      `Cannot open the store ${file}: ${messageOf(error)}. ${mend(error)}`,
      { cause: error },
    );
  }
}

function openDatabase(file: string): Database.Database {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  // SQLite makes -wal and -shm with the rights of the file itself.
  const before = process.umask(0o077);
  let db: Database.Database;
  try {
    db = new Database(file);
  } finally {
    process.umask(before);
  }
  refuseForeign(db, file);
  if (file !== ':memory:') chmodSync(file, 0o600);
  const [major = 0, minor = 0, patch = 0] = String(db.prepare('SELECT sqlite_version()').pluck().get())
    .split('.')
    .map(Number);
  const [least, lesser, smallest] = OLDEST_SQLITE;
  if (major < least || (major === least && (minor < lesser || (minor === lesser && patch < smallest)))) {
    throw new ProxyError(
      'STORE_FAILED',
      `SQLite ${major}.${minor}.${patch} can lose commits; reinstall better-sqlite3.`,
    );
  }
  db.pragma(`busy_timeout = ${LOCK_WAIT}`);
  // Only once: to look at a damaged store must not change it.
  if (db.pragma('application_id', { simple: true }) !== APPLICATION_ID) {
    db.pragma(`application_id = ${APPLICATION_ID}`);
  }
  useWal(db);
  db.pragma('synchronous = FULL'); // better-sqlite3 defaults to NORMAL, which loses commits with the power
  db.pragma('fullfsync = ON'); // macOS: fsync alone does not reach the disk
  db.pragma('journal_size_limit = 67108864');
  db.pragma('cell_size_check = ON');
  db.pragma('trusted_schema = OFF');
  db.pragma('temp_store = MEMORY');
  migrate(db, file);
  return db;
}

/** SQLite waits for no lock here, and others may open the same fresh file at this moment. */
function useWal(db: Database.Database): void {
  const end = Date.now() + LOCK_WAIT;
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      return void db.pragma('journal_mode = WAL');
    } catch (error) {
      if ((error as { code?: string }).code !== 'SQLITE_BUSY' || Date.now() > end) throw error;
      Atomics.wait(pause, 0, 0, 10);
    }
  }
}

/** Another program's database is not ours to migrate. @throws {ProxyError} STORE_FAILED */
function refuseForeign(db: Database.Database, file: string): void {
  const empty = db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get() === 0;
  if (empty || db.pragma('application_id', { simple: true }) === APPLICATION_ID) return;
  db.close();
  throw new ProxyError(
    'STORE_FAILED',
    `The file ${file} is a database of another program, no store. Name another file under "store".`,
  );
}

const DAMAGED = 'It is damaged or no store: move it aside (with its -wal and -shm) and start again.';

function isDamage(error: unknown): boolean {
  const code = (error as { code?: string }).code ?? '';
  return code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT');
}

function mend(error: unknown): string {
  if (isDamage(error)) return DAMAGED;
  return 'Check that its folder exists and may be written by you, or name another file under "store".';
}

/** A failure of a statement with what to do about it. */
function told(failure: unknown, file: string): ProxyError {
  if (failure instanceof ProxyError && failure.code === 'STORE_FAILED') return failure;
  const damaged = isDamage(failure)
    ? DAMAGED
    : 'Nothing was done; free space or mend the file and try again.';
  const text = `The store ${file} could not be written: ${messageOf(failure)}. ${damaged}`;
  return new ProxyError('STORE_FAILED', text, { cause: failure });
}

/** The same table, whose failures say what to do. */
function telling<Table extends object>(table: Table, tell: (error: unknown) => ProxyError): Table {
  return new Proxy(table, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]): unknown => {
        try {
          return Reflect.apply(method, target, args);
        } catch (error) {
          throw tell(error);
        }
      };
    },
  });
}

/** A stream that no request has: a probe is written there. */
const PROBE = 0;
const PROBE_TEXT = 'x'.repeat(16 * PAGE_SIZE);

class SqliteStore implements Store {
  readonly sessions;
  readonly attachments;
  readonly bindings;
  readonly streams;
  readonly events;
  readonly state;
  readonly snapshots;
  readonly shares;
  readonly hints;
  readonly servers;
  readonly checkpoints;
  readonly processes;

  readonly #db: Database.Database;
  readonly #file: string;
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  readonly #reserve;
  #waiting: Write[] = [];
  #scheduled = false;
  #lastGroup = { size: 0, at: 0 };
  #ids = { next: 0, end: 0 };
  #synced = true;
  readonly #health: Health;
  readonly #told = (error: unknown): ProxyError => {
    const failure = told(error, this.#file);
    this.#health.failed(failure);
    return failure;
  };

  constructor(db: Database.Database, file: string) {
    this.#db = db;
    this.#file = file;
    this.#begin = db.prepare('BEGIN IMMEDIATE'); // DEFERRED fails under a second writer instead of waiting
    this.#commit = db.prepare('COMMIT');
    this.#rollback = db.prepare('ROLLBACK');
    this.#reserve = db
      .prepare<[number, number, number], number>(
        `INSERT INTO counters (name, value) VALUES ('id', ?)
         ON CONFLICT (name) DO UPDATE SET value = CASE WHEN value > ? THEN 0 ELSE value END + ? RETURNING value`,
      )
      .pluck();
    this.#health = new Health(() => this.#probe());
    this.sessions = telling(sessionTable(db), this.#told);
    this.attachments = telling(attachmentTable(db), this.#told);
    this.bindings = telling(bindingTable(db), this.#told);
    this.streams = telling(streamTable(db), this.#told);
    this.events = telling(eventTable(db), this.#told);
    this.state = telling(stateTable(db), this.#told);
    this.snapshots = telling(snapshotTable(db), this.#told);
    this.shares = telling(shareTable(db), this.#told);
    this.hints = telling(hintTable(db), this.#told);
    this.servers = telling(serverTable(db), this.#told);
    this.checkpoints = telling(checkpointTable(db), this.#told);
    this.processes = telling(processTable(db), this.#told);
  }

  write(job: () => void, lasts: 'disk' | 'process' = 'disk'): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, synced: lasts === 'disk', resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      const run = () => {
        this.#scheduled = false;
        this.#flush();
      };
      // A lone caller is served at once; company is awaited.
      const { size, at } = this.#lastGroup;
      if (size > 1 && performance.now() - at < GROUP_INTERVAL) setTimeout(run, GROUP_INTERVAL);
      else setImmediate(run);
    });
  }

  demandWritable(): void {
    this.#health.check();
  }

  nextId(): number {
    if (this.#ids.next === this.#ids.end) {
      const end = this.#reserveIds();
      this.#ids = { next: end - ID_BLOCK, end };
    }
    this.#ids.next += 1;
    return this.#ids.next;
  }

  check(): void {
    const size = Number(this.#db.pragma('page_count', { simple: true })) * PAGE_SIZE;
    if (size > LARGEST_CHECKED) return;
    const found = String(this.#db.pragma('quick_check(1)', { simple: true }));
    if (found === 'ok') return;
    const text = `The store ${this.#file} does not hold together: ${found}. ${DAMAGED}`;
    throw new ProxyError('STORE_FAILED', text);
  }

  close(): void {
    this.#flush();
    if (this.#file !== ':memory:') this.#db.pragma('wal_checkpoint(TRUNCATE)');
    this.#db.close();
  }

  #reserveIds(): number {
    try {
      return this.#reserve.get(ID_BLOCK, ID_LIMIT, ID_BLOCK) ?? ID_BLOCK;
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** More than a page, so that the next few writes have room as well. */
  #probe(): void {
    this.streams.delete([PROBE]);
    this.streams.append(PROBE, 1, PROBE_TEXT, true, 0);
    this.streams.delete([PROBE]);
  }

  #flush(): void {
    const writes = this.#waiting;
    this.#waiting = [];
    if (writes.length === 0) return;
    this.#lastGroup = { size: writes.length, at: performance.now() };
    const failure = this.#transact(writes);
    if (failure === undefined) {
      for (const write of writes) write.resolve();
    } else if (writes.length === 1) {
      const error = this.#told(failure);
      log.store.error({ file: this.#file }, `A write to the store failed: ${messageOf(error.cause)}`);
      writes[0]?.reject(error);
    } else {
      // One write may be at fault: let it fail alone.
      for (const write of writes) {
        this.#waiting = [write];
        this.#flush();
      }
    }
  }

  /** @returns what went wrong, and then nothing is stored */
  #transact(writes: Write[]): unknown {
    try {
      this.#sync(writes.some(({ synced }) => synced));
      this.#begin.run();
      for (const { job } of writes) job();
      this.#commit.run();
      return undefined;
    } catch (error) {
      // On a full disk SQLite has rolled back by itself.
      if (this.#db.inTransaction) this.#rollback.run();
      return error ?? new Error('unknown failure');
    }
  }

  /** Under WAL a commit without a sync is lost with the power alone, and the next one with a sync takes it along. */
  #sync(synced: boolean): void {
    if (this.#synced === synced) return;
    this.#db.pragma(`synchronous = ${synced ? 'FULL' : 'NORMAL'}`);
    this.#synced = synced;
  }
}
