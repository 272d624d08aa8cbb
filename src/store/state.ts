import type { Database } from 'better-sqlite3';
import type { ShareTable, SnapshotRow, SnapshotTable, StateRow, StateTable } from './types.js';

const ROW = 'SELECT key, value, version, updated_at AS updatedAt FROM state WHERE level = ? AND owner = ?';

export function stateTable(db: Database): StateTable {
  const get = db.prepare<[string, string, string], StateRow>(`${ROW} AND key = ?`);
  const list = db.prepare<[string, string], StateRow>(`${ROW} ORDER BY key`);
  const insert = db.prepare(
    'INSERT INTO state (level, owner, key, value, version, updated_at) VALUES (?, ?, ?, ?, 1, ?) ON CONFLICT DO NOTHING',
  );
  const update = db.prepare(
    `UPDATE state SET value = ?, version = version + 1, updated_at = ?
     WHERE level = ? AND owner = ? AND key = ? AND version = ?`,
  );
  const remove = db.prepare('DELETE FROM state WHERE level = ? AND owner = ? AND key = ? AND version = ?');
  const expire = db.prepare('DELETE FROM state WHERE level = ? AND updated_at < ?');
  const copy = db.prepare(
    `INSERT INTO state (level, owner, key, value, version, updated_at)
     SELECT 'session', ?, key, value, 1, ? FROM state WHERE level = 'session' AND owner = ?`,
  );
  return {
    get: (level, owner, key) => get.get(level, owner, key),
    list: (level, owner) => list.all(level, owner),
    // IMMEDIATE: between look and write no other process may write.
    put: (...args) =>
      db
        .transaction((...[level, owner, key, value, at, expected]: Parameters<StateTable['put']>) => {
          const version = get.get(level, owner, key)?.version ?? 0;
          if (expected !== undefined && expected !== version) return undefined;
          if (version === 0) insert.run(level, owner, key, value, at);
          else update.run(value, at, level, owner, key, version);
          return version + 1;
        })
        .immediate(...args),
    delete: (level, owner, key, expected) => {
      const version = get.get(level, owner, key)?.version;
      if (version === undefined || (expected !== undefined && expected !== version)) return false;
      return remove.run(level, owner, key, version).changes === 1;
    },
    expire: (level, before) => expire.run(level, before).changes,
    copy: (from, to, at) => void copy.run(to, at, from),
  };
}

export function snapshotTable(db: Database): SnapshotTable {
  const columns = 'SELECT name, revision, value, created_at AS createdAt FROM snapshots WHERE session = ?';
  const save = db
    .prepare<[string, string, string, string, string, number], number>(
      `INSERT INTO snapshots (session, name, revision, value, created_at)
       VALUES (?, ?, 1 + coalesce((SELECT max(revision) FROM snapshots WHERE session = ? AND name = ?), 0), ?, ?)
       RETURNING revision`,
    )
    .pluck();
  const latest = db.prepare<[string, string], SnapshotRow>(
    `${columns} AND name = ? ORDER BY revision DESC LIMIT 1`,
  );
  const exact = db.prepare<[string, string, number], SnapshotRow>(`${columns} AND name = ? AND revision = ?`);
  const history = db.prepare<[string, string], SnapshotRow>(`${columns} AND name = ? ORDER BY revision`);
  const all = db.prepare<[string], SnapshotRow>(
    `${columns} AND (name, revision) IN (SELECT name, max(revision) FROM snapshots s WHERE s.session = snapshots.session GROUP BY name)
     ORDER BY name`,
  );
  return {
    save: (session, name, value, at) => save.get(session, name, session, name, value, at) ?? 1,
    load: (session, name, revision) =>
      revision === undefined ? latest.get(session, name) : exact.get(session, name, revision),
    list: (session, name) => (name === undefined ? all.all(session) : history.all(session, name)),
  };
}

export function shareTable(db: Database): ShareTable {
  const put = db.prepare(
    `INSERT INTO shares (session, principal, alias) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET alias = excluded.alias`,
  );
  const byAlias = db.prepare<[string], { session: string; principal: string }>(
    'SELECT session, principal FROM shares WHERE alias = ?',
  );
  const includes = db
    .prepare<[string, string], number>("SELECT 1 FROM shares WHERE session = ? AND principal IN (?, '*')")
    .pluck();
  return {
    put: (session, principal, alias) => void put.run(session, principal, alias),
    byAlias: (alias) => byAlias.all(alias),
    includes: (session, principal) => includes.get(session, principal) === 1,
  };
}
