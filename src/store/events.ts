import type { Database } from 'better-sqlite3';
import type { EventRow, EventTable } from './types.js';

export function eventTable(db: Database): EventTable {
  // The session is asked for in the same statement: a late writer leaves no orphan behind a closed one.
  const append = db
    .prepare<[number, string, string, string], number>(
      `INSERT INTO events (session, seq, at, type, data)
       SELECT id, coalesce((SELECT max(seq) FROM events WHERE session = id), 0) + 1, ?, ?, ?
       FROM sessions WHERE id = ? AND state <> 'closed' RETURNING seq`,
    )
    .pluck();
  const trim = db.prepare('DELETE FROM events WHERE session = ? AND seq <= ?');
  const last = db.prepare<[string, number, number], EventRow>(
    `SELECT seq, at, type, data FROM events WHERE session = ? AND seq > ? ORDER BY seq DESC LIMIT ?`,
  );
  return {
    append(session, at, type, data, keep) {
      const seq = append.get(at, type, data, session);
      if (seq !== undefined && seq > keep) trim.run(session, seq - keep);
    },
    last: (session, limit, after = 0) => last.all(session, after, limit).reverse(),
  };
}
