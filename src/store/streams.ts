import type { Database } from 'better-sqlite3';
import type { StreamHead, StreamTable } from './types.js';

/** Heads of requests whose process is no more. */
const ABANDONED = `SELECT stream, head FROM outbox h
  WHERE head IS NOT NULL AND json_extract(head, '$.instance') NOT IN (SELECT id FROM instances)`;

export function streamTable(db: Database): StreamTable {
  const append = db.prepare(
    'INSERT INTO outbox (stream, seq, last, data, head, at) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const open = db.prepare(
    "INSERT OR REPLACE INTO outbox (stream, seq, last, data, head) VALUES (?, 0, 0, '', ?)",
  );
  const head = db
    .prepare<[number], string>('SELECT head FROM outbox WHERE stream = ? AND head IS NOT NULL')
    .pluck();
  const read = db.prepare<[number, number, number], { seq: number; data: string }>(
    'SELECT seq, data FROM outbox WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?',
  );
  const tail = db.prepare<[number], { seq: number; last: number }>(
    'SELECT seq, last FROM outbox WHERE stream = ? ORDER BY seq DESC LIMIT 1',
  );
  const remove = db.prepare('DELETE FROM outbox WHERE stream IN (SELECT value FROM json_each(?))');
  const trim = db.prepare(
    `DELETE FROM outbox WHERE stream = @stream AND head IS NULL AND seq <= @upTo
     AND seq < (SELECT max(seq) FROM outbox WHERE stream = @stream)
     AND seq <= (
       SELECT max(seq) FROM (
         SELECT seq, at, row_number() OVER newest AS place, sum(octet_length(data)) OVER newest AS size
         FROM outbox WHERE stream = @stream WINDOW newest AS (ORDER BY seq DESC)
       ) WHERE place > @messages OR size > @bytes OR at < @before
     )`,
  );
  // Only the streams of clients: those of requests go as a whole, when nobody can ask for them any more.
  const expire = db.prepare(
    `DELETE FROM outbox WHERE stream IN (SELECT stream FROM attachments WHERE id > @after ORDER BY id LIMIT @limit)
     AND stream NOT IN (SELECT value FROM json_each(@except)) AND at < @before
     AND seq < (SELECT max(seq) FROM outbox newer WHERE newer.stream = outbox.stream)`,
  );
  const following = db
    .prepare<[string, number], string>('SELECT id FROM attachments WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?')
    .pluck();
  const unanswered = db.prepare<[], { stream: number; head: string }>(
    `${ABANDONED} AND NOT EXISTS (SELECT 1 FROM outbox WHERE stream = h.stream AND last = 1)`,
  );
  const removeAbandoned = db.prepare(
    `DELETE FROM outbox WHERE stream IN (SELECT stream FROM (${ABANDONED}))`,
  );
  const toHead = (text: string) => JSON.parse(text) as StreamHead;
  return {
    open: (stream, row) => void open.run(stream, JSON.stringify(row)),
    head: (stream) => {
      const text = head.get(stream);
      return text === undefined ? undefined : toHead(text);
    },
    append: (stream, seq, data, last, at, row) =>
      void append.run(stream, seq, last ? 1 : 0, data, row ? JSON.stringify(row) : null, at),
    read: (stream, after, limit) => read.all(stream, after, limit),
    tail: (stream) => {
      const row = tail.get(stream);
      return { seq: row?.seq ?? 0, last: row?.last === 1 };
    },
    delete: (streams) => void remove.run(JSON.stringify(streams)),
    trim: (stream, limits, upTo = Number.MAX_SAFE_INTEGER) => void trim.run({ stream, upTo, ...limits }),
    expire: (before, { after, limit, except }) => {
      expire.run({ before, after, limit, except: JSON.stringify(except) });
      return following.get(after, limit - 1) ?? '';
    },
    unanswered: () => unanswered.all().map((row) => ({ stream: row.stream, head: toHead(row.head) })),
    deleteAbandoned: () => void removeAbandoned.run(),
  };
}
