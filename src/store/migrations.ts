import type { Database } from 'better-sqlite3';
import { ProxyError } from '../errors.js';

/**
 * The schema as its history: each entry lifts the file by one `user_version`, in a transaction of its own. Entries
 * are only ever added. WITHOUT ROWID where the key is the order in which rows are read.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

  CREATE TABLE instances (
    id TEXT PRIMARY KEY, pid INTEGER NOT NULL, started TEXT NOT NULL, opened_at INTEGER NOT NULL, url TEXT
  ) WITHOUT ROWID;
  CREATE TABLE children (
    pid INTEGER NOT NULL, started TEXT NOT NULL, instance TEXT NOT NULL, PRIMARY KEY (pid, started)
  ) WITHOUT ROWID;

  CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    name TEXT,
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    temporary INTEGER NOT NULL,
    instance TEXT,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    last_active_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE UNIQUE INDEX sessions_by_name ON sessions (principal, name) WHERE name IS NOT NULL AND state <> 'closed';
  CREATE INDEX sessions_by_update ON sessions (updated_at, id);
  CREATE INDEX sessions_by_use ON sessions (last_active_at);
  CREATE INDEX sessions_by_instance ON sessions (instance) WHERE instance IS NOT NULL;

  CREATE TABLE attachments (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    client TEXT NOT NULL,
    owner INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX attachments_by_session ON attachments (session);

  CREATE TABLE bindings (
    owner TEXT NOT NULL,
    server TEXT NOT NULL,
    generation INTEGER NOT NULL,
    ended TEXT,
    PRIMARY KEY (owner, server)
  ) WITHOUT ROWID;
  CREATE TABLE seen (
    session TEXT NOT NULL, server TEXT NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (session, server)
  ) WITHOUT ROWID;

  -- The first row of a request's stream holds its head; a stream that belongs to no request has none.
  CREATE TABLE outbox (
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    last INTEGER NOT NULL,
    head TEXT,
    data TEXT NOT NULL,
    PRIMARY KEY (stream, seq)
  ) WITHOUT ROWID;

  -- A ring: slot is seq modulo what is kept, so that a new event takes the place of the oldest.
  CREATE TABLE events (
    session TEXT NOT NULL,
    track TEXT NOT NULL,
    slot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (session, track, slot)
  ) WITHOUT ROWID;
  -- Where events are written first, all sessions on one page; they move to their session's pages many at a time.
  CREATE TABLE recent_events (
    id INTEGER PRIMARY KEY,
    session TEXT NOT NULL,
    track TEXT NOT NULL,
    slot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    data TEXT NOT NULL
  );

  -- level is app, user or session; owner the principal or session it belongs to.
  CREATE TABLE state (
    level TEXT NOT NULL,
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    version INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (level, owner, key)
  ) WITHOUT ROWID;
  CREATE TABLE snapshots (
    session TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    value TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (session, name, revision)
  ) WITHOUT ROWID;
  -- Who else may use a session: a principal, or * for everybody.
  CREATE TABLE shares (
    session TEXT NOT NULL, principal TEXT NOT NULL, alias TEXT NOT NULL, PRIMARY KEY (session, principal)
  ) WITHOUT ROWID;
  CREATE INDEX shares_by_alias ON shares (alias);

  CREATE TABLE servers (key TEXT PRIMARY KEY, description TEXT NOT NULL, seen_at INTEGER NOT NULL) WITHOUT ROWID;
  `,
  // Clients that introduce themselves for each call leave attachments behind; sessions are counted by principal.
  `
  ALTER TABLE attachments ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
  UPDATE attachments SET used_at = created_at;
  CREATE INDEX attachments_by_use ON attachments (used_at);
  CREATE INDEX sessions_by_principal ON sessions (principal, last_active_at);
  `,
  `
  CREATE TABLE checkpoints (
    owner TEXT NOT NULL,
    server TEXT NOT NULL,
    slot INTEGER NOT NULL,
    at INTEGER NOT NULL,
    captured TEXT NOT NULL,
    PRIMARY KEY (owner, server)
  ) WITHOUT ROWID;
  CREATE TABLE replays (
    owner TEXT NOT NULL,
    server TEXT NOT NULL,
    seq INTEGER NOT NULL,
    tool TEXT NOT NULL,
    args TEXT NOT NULL,
    PRIMARY KEY (owner, server, seq)
  ) WITHOUT ROWID;
  `,
  `
  -- Which session a client's hint leads to. What the client said is hashed.
  CREATE TABLE hints (
    principal TEXT NOT NULL, hint TEXT NOT NULL, session TEXT NOT NULL, PRIMARY KEY (principal, hint)
  ) WITHOUT ROWID;
  CREATE INDEX hints_by_session ON hints (session);
  `,
  `ALTER TABLE children ADD COLUMN marker TEXT NOT NULL DEFAULT ''`,
  // Messages that nobody fetched grow old. Those from before are counted from today.
  `
  ALTER TABLE outbox ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
  UPDATE outbox SET at = CAST(unixepoch('subsec') * 1000 AS INTEGER);
  `,
];

/**
 * Brings the file to the schema of this program.
 * @throws {ProxyError} STORE_FAILED when the file was written by a newer one
 */
export function migrate(db: Database, file: string, migrations = MIGRATIONS): void {
  const version = () => Number(db.pragma('user_version', { simple: true }));
  if (version() > migrations.length) {
    throw new ProxyError(
      'STORE_FAILED',
      `The store ${file} was written by a newer mcp-session-proxy (schema ${version()}, this one knows ` +
        `${migrations.length}). Use that version, or another "store" file.`,
    );
  }
  while (version() < migrations.length) {
    db.transaction(() => {
      const from = version(); // read again inside: another process may have been first
      const step = migrations[from];
      if (step === undefined) return;
      db.exec(step);
      db.pragma(`user_version = ${from + 1}`);
    }).immediate();
  }
}
