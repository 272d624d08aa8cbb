import type { Database } from 'better-sqlite3';
import type { ProcessMark, ProcessTable } from './types.js';

export function processTable(db: Database): ProcessTable {
  const register = db.prepare('INSERT INTO instances (id, pid, started, opened_at) VALUES (?, ?, ?, ?)');
  const instances = db.prepare<[], { id: string; url: string | null } & ProcessMark>(
    'SELECT id, pid, started, url FROM instances',
  );
  const setUrl = db.prepare('UPDATE instances SET url = ? WHERE id = ?');
  const remove = db.prepare('DELETE FROM instances WHERE id = ?');
  const removeChildren = db.prepare('DELETE FROM children WHERE instance = ?');
  const addChild = db.prepare(
    'INSERT OR REPLACE INTO children (pid, started, instance, marker) VALUES (?, ?, ?, ?)',
  );
  const moveChildren = db.prepare('UPDATE children SET instance = ? WHERE instance = ?');
  const moveSessions = db
    .prepare<[string, string], string>('UPDATE sessions SET instance = ? WHERE instance = ? RETURNING id')
    .pluck();
  const removeChild = db.prepare('DELETE FROM children WHERE pid = ? AND started = ?');
  const children = db.prepare<[string], ProcessMark>('SELECT pid, started FROM children WHERE instance = ?');
  const markers = db
    .prepare<[string], string>("SELECT marker FROM children WHERE instance = ? AND marker <> ''")
    .pluck();
  return {
    registerInstance: (id, { pid, started }, at) => void register.run(id, pid, started, at),
    instances: () =>
      instances.all().map(({ id, pid, started, url }) => ({ id, mark: { pid, started }, url })),
    setUrl: (id, url) => void setUrl.run(url, id),
    removeInstance: (id) => {
      removeChildren.run(id);
      remove.run(id);
    },
    takeOver: db.transaction((from: string, to: string) => {
      moveChildren.run(to, from);
      remove.run(from);
      return moveSessions.all(to, from);
    }),
    addChild: (instance, { pid, started }, marker = '') => void addChild.run(pid, started, instance, marker),
    removeChild: ({ pid, started }) => void removeChild.run(pid, started),
    childrenOf: (instance) => children.all(instance),
    markersOf: (instance) => markers.all(instance),
  };
}
