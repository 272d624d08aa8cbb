import type { Database } from 'better-sqlite3';
import type { CheckpointRow, CheckpointTable } from './types.js';

export function checkpointTable(db: Database): CheckpointTable {
  const get = db.prepare<[string, string], CheckpointRow>(
    'SELECT owner, server, slot, at, captured FROM checkpoints WHERE owner = ? AND server = ?',
  );
  const put = db.prepare(
    `INSERT OR REPLACE INTO checkpoints (owner, server, slot, at, captured)
     VALUES (@owner, @server, @slot, @at, @captured)`,
  );
  const record = db.prepare(
    `INSERT INTO replays (owner, server, seq, tool, args)
     SELECT @owner, @server, 1 + coalesce(max(seq), 0), @tool, @args FROM replays
     WHERE owner = @owner AND server = @server`,
  );
  const recorded = db.prepare<[string, string], { tool: string; args: string }>(
    'SELECT tool, args FROM replays WHERE owner = ? AND server = ? ORDER BY seq',
  );
  const removals = ['checkpoints', 'replays'].map((table) =>
    db.prepare<{ owner: string; server: string | null }>(
      `DELETE FROM ${table} WHERE owner = @owner AND (@server IS NULL OR server = @server)`,
    ),
  );
  const forget = db.prepare<[string, string]>('DELETE FROM replays WHERE owner = ? AND server = ?');
  return {
    get: (owner, server) => get.get(owner, server),
    put: (row) => {
      put.run(row);
      forget.run(row.owner, row.server);
    },
    record: (owner, server, tool, args) => void record.run({ owner, server, tool, args }),
    recorded: (owner, server) => recorded.all(owner, server),
    delete: (owner, server) => {
      for (const removal of removals) removal.run({ owner, server: server ?? null });
    },
  };
}
