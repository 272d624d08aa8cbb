import type { Database } from 'better-sqlite3';
import type { StreamRow, StreamTable } from './types.js';

const STREAM = `SELECT s.id, s.attachment, s.request, s.method, s.opened_at AS openedAt, s.ended_at AS endedAt
  FROM streams s`;

export function streamTable(db: Database): StreamTable {
  const open = db.prepare(
    'INSERT INTO streams (id, attachment, request, method, opened_at) VALUES (?, ?, ?, ?, ?)',
  );
  const get = db.prepare<[number], StreamRow>(`${STREAM} WHERE s.id = ?`);
  const append = db.prepare('INSERT INTO outbox (stream, seq, data) VALUES (?, ?, ?)');
  const read = db.prepare<[number, number, number], { seq: number; data: string }>(
    'SELECT seq, data FROM outbox WHERE stream = ? AND seq > ? ORDER BY seq LIMIT ?',
  );
  const last = db
    .prepare<[number], number>('SELECT coalesce(max(seq), 0) FROM outbox WHERE stream = ?')
    .pluck();
  const end = db.prepare('UPDATE streams SET ended_at = ? WHERE id = ?');
  const removeMessages = db.prepare('DELETE FROM outbox WHERE stream = ?');
  const remove = db.prepare('DELETE FROM streams WHERE id = ?');
  const trim = db.prepare(
    `DELETE FROM outbox WHERE stream = @stream
     AND seq <= (SELECT seq FROM outbox WHERE stream = @stream ORDER BY seq DESC LIMIT 1 OFFSET @keep)`,
  );
  const unanswered = db.prepare<[string], StreamRow>(
    `${STREAM} JOIN attachments a ON a.id = s.attachment
     WHERE a.session = ? AND s.request IS NOT NULL AND s.ended_at IS NULL`,
  );
  const ended = db
    .prepare<[number, number], number>('SELECT id FROM streams WHERE ended_at < ? LIMIT ?')
    .pluck();

  const removeAll = (stream: number) => {
    removeMessages.run(stream);
    remove.run(stream);
  };
  return {
    open: ({ id, attachment, request, method, openedAt }) =>
      void open.run(id, attachment, request, method, openedAt),
    get: (id) => get.get(id),
    append: (stream, seq, data) => void append.run(stream, seq, data),
    read: (stream, after, limit) => read.all(stream, after, limit),
    last: (stream) => last.get(stream) ?? 0,
    end: (stream, at) => void end.run(at, stream),
    delete: removeAll,
    trim: (stream, keep) => void trim.run({ stream, keep }),
    unanswered: (session) => unanswered.all(session),
    purge: db.transaction((before: number, limit: number) => {
      const ids = ended.all(before, limit);
      for (const id of ids) removeAll(id);
      return ids.length;
    }),
  };
}
