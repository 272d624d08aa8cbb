import type { Database } from 'better-sqlite3';
import type { EventRow, EventTable } from './types.js';

/**
 * A commit costs by the page, and each session's events have pages of their own. So they are written to one table of
 * all sessions, and move from there after this many.
 */
const MOVED_AT_ONCE = 512;

export function eventTable(db: Database): EventTable {
  const append = db.prepare(
    'INSERT INTO recent_events (session, track, slot, seq, at, type, data) VALUES (?, ?, ?, ?, ?, ?, ?)',
  );
  const move = db.prepare(
    `INSERT OR REPLACE INTO events (session, track, slot, seq, at, type, data)
     SELECT session, track, slot, seq, at, type, data FROM recent_events ORDER BY id`,
  );
  const clear = db.prepare('DELETE FROM recent_events');
  const last = db.prepare<[string, string, number, number, number], EventRow>(
    `SELECT seq, at, type, data FROM events WHERE session = ? AND track = ? AND seq > ? AND at >= ?
     ORDER BY seq DESC LIMIT ?`,
  );
  const settle = db.transaction(() => {
    move.run();
    clear.run();
  });
  let recent = 1; // at first, those of an earlier process
  return {
    append(session, track, { seq, at, type, data }, keep) {
      append.run(session, track, seq % keep, seq, at, type, data);
      recent += 1;
      if (recent < MOVED_AT_ONCE) return;
      settle();
      recent = 0;
    },
    last(session, track, limit, { after = 0, since = 0 } = {}) {
      if (recent > 0) settle();
      recent = 0;
      return last.all(session, track, after, since, limit).reverse();
    },
  };
}
