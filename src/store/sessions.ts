import type { Database } from 'better-sqlite3';
import type {
  AttachmentRow,
  AttachmentTable,
  BindingRow,
  BindingTable,
  HintTable,
  ServerTable,
  SessionRow,
  SessionState,
  SessionTable,
} from './types.js';

/** Booleans are 0 and 1 in SQLite. */
type Stored<Row, Key extends keyof Row> = Omit<Row, Key> & Record<Key, number>;

const SESSION = `SELECT id, name, principal, state, temporary, instance, settings, created_at AS createdAt,
  updated_at AS updatedAt, last_active_at AS lastActiveAt FROM sessions`;

function toSession(row: Stored<SessionRow, 'temporary'> | undefined): SessionRow | undefined {
  return row && { ...row, temporary: row.temporary === 1 };
}

export function sessionTable(db: Database): SessionTable {
  const insert = db.prepare(
    `INSERT INTO sessions (id, name, principal, state, temporary, instance, settings, created_at, updated_at, last_active_at)
     VALUES (@id, @name, @principal, @state, @temporary, @instance, @settings, @createdAt, @updatedAt, @lastActiveAt)
     ON CONFLICT DO NOTHING`,
  );
  const get = db.prepare<[string], Stored<SessionRow, 'temporary'>>(`${SESSION} WHERE id = ?`);
  const byName = db.prepare<[string, string], Stored<SessionRow, 'temporary'>>(
    `${SESSION} WHERE principal = ? AND name = ? AND state <> 'closed'`,
  );
  const setState = db.prepare('UPDATE sessions SET state = ?, instance = ?, updated_at = ? WHERE id = ?');
  const setSettings = db.prepare('UPDATE sessions SET settings = ?, updated_at = ? WHERE id = ?');
  const claim = db.prepare(
    'UPDATE sessions SET instance = ? WHERE id = ? AND (instance IS NULL OR instance = ?)',
  );
  const touch = db.prepare('UPDATE sessions SET last_active_at = ? WHERE id = ?');
  const release = db
    .prepare<[number, string], string>(
      `UPDATE sessions SET state = 'paused', instance = NULL, updated_at = ? WHERE instance = ? RETURNING id`,
    )
    .pluck();
  const old = db
    .prepare<[number, number], string>(
      'SELECT id FROM sessions WHERE last_active_at < ? AND instance IS NULL LIMIT ?',
    )
    .pluck();
  const setName = db.prepare('UPDATE OR IGNORE sessions SET name = ?, updated_at = ? WHERE id = ?');
  const list = db.prepare<[Record<string, unknown>], Stored<SessionRow, 'temporary'>>(
    `${SESSION} WHERE (@principals IS NULL OR principal IN (SELECT value FROM json_each(@principals)))
     AND (@states IS NULL OR state IN (SELECT value FROM json_each(@states)))
     AND (updated_at, id) < (@updatedAt, @id) ORDER BY updated_at DESC, id DESC LIMIT @limit`,
  );
  const counts = db.prepare<[Record<string, unknown>], { state: SessionState; count: number }>(
    `SELECT state, count(*) AS count FROM sessions
     WHERE (@principals IS NULL OR principal IN (SELECT value FROM json_each(@principals))) GROUP BY state`,
  );
  const count = db.prepare<[string], number>('SELECT count(*) FROM sessions WHERE principal = ?').pluck();
  const dispensable = db
    .prepare<[string], string>(
      `SELECT id FROM sessions WHERE principal = ? AND instance IS NULL AND (state = 'closed' OR name IS NULL)
       ORDER BY state = 'closed' DESC, last_active_at LIMIT 1`,
    )
    .pluck();
  const due = db
    .prepare<[Record<string, unknown>], string>(
      `SELECT id FROM sessions WHERE state IN ('idle', 'paused') AND instance IS NULL AND (created_at < @bornBefore OR (
         coalesce(settings ->> '$.onTimeout', @onTimeout) = 'close' AND @now >=
         max(last_active_at + coalesce(settings ->> '$.ttl', @ttl),
             coalesce((settings ->> '$.extended.at') + (settings ->> '$.extended.ms'), 0))
       )) LIMIT @limit`,
    )
    .pluck();
  const deletions = [
    'DELETE FROM outbox WHERE stream IN (SELECT stream FROM attachments WHERE session = ?)',
    'DELETE FROM attachments WHERE session = ?',
    'DELETE FROM bindings WHERE owner = ?',
    "DELETE FROM bindings WHERE owner = 'call-' || ?",
    'DELETE FROM seen WHERE session = ?',
    'DELETE FROM events WHERE session = ?',
    'DELETE FROM recent_events WHERE session = ?',
    "DELETE FROM state WHERE level = 'session' AND owner = ?",
    'DELETE FROM snapshots WHERE session = ?',
    'DELETE FROM shares WHERE session = ?',
    'DELETE FROM checkpoints WHERE owner = ?',
    'DELETE FROM replays WHERE owner = ?',
    'DELETE FROM hints WHERE session = ?',
    'DELETE FROM sessions WHERE id = ?',
  ].map((sql) => db.prepare<[string]>(sql));

  return {
    insert: (row) => insert.run({ ...row, temporary: Number(row.temporary) }).changes === 1,
    get: (id) => toSession(get.get(id)),
    byName: (principal, name) => toSession(byName.get(principal, name)),
    claim: (id, instance) => claim.run(instance, id, instance).changes === 1,
    setState: (id, state, instance, at) => void setState.run(state, instance, at, id),
    setSettings: (id, settings, at) => void setSettings.run(settings, at, id),
    touch: (id, at) => void touch.run(at, id),
    setName: (id, name, at) => setName.run(name, at, id).changes === 1,
    list: ({ principals, states, limit, after }) =>
      list
        .all({
          principals: principals ? JSON.stringify(principals) : null,
          states: states ? JSON.stringify(states) : null,
          limit,
          updatedAt: after?.updatedAt ?? Number.MAX_SAFE_INTEGER,
          id: after?.id ?? '',
        })
        .map((row) => ({ ...row, temporary: row.temporary === 1 })),
    counts: (principals) => counts.all({ principals: principals ? JSON.stringify(principals) : null }),
    count: (principal) => count.get(principal) ?? 0,
    dispensable: (principal) => dispensable.get(principal),
    due: (deadline, limit) => due.all({ ...deadline, limit }),
    delete: db.transaction((id: string) => {
      for (const deletion of deletions) deletion.run(id);
    }),
    releaseOf: (instance, at) => release.all(at, instance),
    purge: db.transaction((before: number, limit: number) => {
      const ids = old.all(before, limit);
      for (const id of ids) for (const deletion of deletions) deletion.run(id);
      return ids;
    }),
  };
}

export function attachmentTable(db: Database): AttachmentTable {
  const insert = db.prepare(
    `INSERT INTO attachments (id, session, client, owner, stream, created_at, used_at)
     VALUES (@id, @session, @client, @owner, @stream, @createdAt, @usedAt)`,
  );
  const select = `SELECT id, session, client, owner, stream, created_at AS createdAt, used_at AS usedAt FROM attachments`;
  const get = db.prepare<[string], Stored<AttachmentRow, 'owner'>>(`${select} WHERE id = ?`);
  const of = db.prepare<[string, number], Stored<AttachmentRow, 'owner'>>(
    `${select} WHERE session = ? AND used_at >= ?`,
  );
  const setClient = db.prepare('UPDATE attachments SET client = ? WHERE id = ?');
  // It did not make the session it moves to, so its DELETE ends neither.
  const setSession = db.prepare('UPDATE attachments SET session = ?, owner = 0 WHERE id = ?');
  const touch = db.prepare('UPDATE attachments SET used_at = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM attachments WHERE id = ?');
  const old = db.prepare<[number, number], { id: string; stream: number }>(
    'SELECT id, stream FROM attachments WHERE used_at < ? LIMIT ?',
  );
  const removeStream = db.prepare('DELETE FROM outbox WHERE stream = ?');
  return {
    insert: (row) => void insert.run({ ...row, owner: Number(row.owner) }),
    get: (id) => {
      const row = get.get(id);
      return row && { ...row, owner: row.owner === 1 };
    },
    of: (session, since) => of.all(session, since).map((row) => ({ ...row, owner: row.owner === 1 })),
    setClient: (id, client) => void setClient.run(client, id),
    setSession: (id, session) => void setSession.run(session, id),
    touch: (id, at) => void touch.run(at, id),
    delete: (id) => void remove.run(id),
    expire: db.transaction((before: number, limit: number) => {
      for (const { id, stream } of old.all(before, limit)) {
        removeStream.run(stream);
        remove.run(id);
      }
    }),
  };
}

export function hintTable(db: Database): HintTable {
  const get = db
    .prepare<[string, string], string>('SELECT session FROM hints WHERE principal = ? AND hint = ?')
    .pluck();
  const put = db.prepare(
    `INSERT INTO hints (principal, hint, session) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET session = excluded.session`,
  );
  return {
    get: (principal, hint) => get.get(principal, hint),
    // IMMEDIATE: between look and write no other process may write.
    replace: (...args) =>
      db
        .transaction((...[principal, hint, before, session]: Parameters<HintTable['replace']>) => {
          if (get.get(principal, hint) !== before) return false;
          put.run(principal, hint, session);
          return true;
        })
        .immediate(...args),
  };
}

export function bindingTable(db: Database): BindingTable {
  const get = db.prepare<[string, string], BindingRow>(
    'SELECT owner, server, generation, ended FROM bindings WHERE owner = ? AND server = ?',
  );
  const put = db.prepare(
    `INSERT INTO bindings (owner, server, generation, ended) VALUES (@owner, @server, @generation, @ended)
     ON CONFLICT DO UPDATE SET generation = excluded.generation, ended = excluded.ended`,
  );
  const seen = db.prepare<[string], { server: string; generation: number }>(
    'SELECT server, generation FROM seen WHERE session = ?',
  );
  const see = db.prepare(
    `INSERT INTO seen (session, server, generation) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET generation = excluded.generation`,
  );
  return {
    get: (owner, server) => get.get(owner, server),
    put: (row) => void put.run(row),
    seen: (session) => seen.all(session),
    see: (session, server, generation) => void see.run(session, server, generation),
  };
}

export function serverTable(db: Database): ServerTable {
  const get = db.prepare<[string], string>('SELECT description FROM servers WHERE key = ?').pluck();
  const put = db.prepare(
    `INSERT INTO servers (key, description, seen_at) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET description = excluded.description, seen_at = excluded.seen_at`,
  );
  return {
    description: (key) => get.get(key),
    setDescription: (key, data, at) => void put.run(key, data, at),
  };
}
