import { join } from 'node:path';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { storeDuties } from '../contract/store.js';

storeDuties('S11 SQLite in a file', {
  open: (folder) => openSqliteStore(join(folder.path, 'sessions.db')),
  lasting: true,
});

storeDuties('S11 SQLite in memory', { open: () => openSqliteStore(':memory:'), lasting: false });
