import Database from 'better-sqlite3';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { remoteDoor } from '../../src/admin/client.js';
import type { Door } from '../../src/admin/door.js';
import { loadConfig } from '../../src/config/load.js';
import type { Fields } from '../../src/protocol/messages.js';
import { SessionProxy } from '../../src/proxy.js';
import { TemporaryFolder } from './proxy.js';

/** How one comes to the sessions: in the process that has them, or over HTTP. */
export type Way = 'local' | 'remote';

/** Who is known; root is an administrator. */
export type User = 'alice' | 'bob' | 'root';

export const tokenOf = (user: User) => `the-token-of-${user}`;

const TOKENS = (['alice', 'bob', 'root'] as const).map((user) => ({
  name: user,
  value: tokenOf(user),
  admin: user === 'root',
}));

/** Where a session leaves traces, and under which name. */
const TABLES = [
  ['sessions', 'id'],
  ['attachments', 'session'],
  ['bindings', 'owner'],
  ['seen', 'session'],
  ['events', 'session'],
  ['recent_events', 'session'],
  ['state', 'owner'],
  ['snapshots', 'session'],
  ['shares', 'session'],
  ['hints', 'session'],
] as const;

/** A whole proxy in this process, and its doors for three users. */
export class House {
  readonly #folder = new TemporaryFolder();
  readonly #way: Way;
  readonly #file: string;
  #proxy: SessionProxy;
  #url = '';

  private constructor(way: Way, config: Fields) {
    this.#way = way;
    const whole = { store: './store.db', listen: { port: 0 }, auth: { tokens: TOKENS }, ...config };
    this.#file = this.#folder.file('mcp-proxy.yaml', JSON.stringify(whole));
    this.#proxy = new SessionProxy({ config: loadConfig(this.#file, {}) });
  }

  static async open(way: Way, config: Fields): Promise<House> {
    const house = new House(way, config);
    await house.#listen();
    return house;
  }

  door(user: User = 'alice'): Door {
    if (this.#way === 'remote') return remoteDoor(this.#url, { token: tokenOf(user) });
    return this.#proxy.door({ id: `token:${user}`, admin: user === 'root' });
  }

  /** Where the config and the store are. */
  get folder(): string {
    return this.#folder.path;
  }

  /** Everything that is on disk of the store. */
  bytes(): Buffer {
    const files = ['store.db', 'store.db-wal'].map((name) => join(this.#folder.path, name));
    return Buffer.concat(files.filter((file) => existsSync(file)).map((file) => readFileSync(file)));
  }

  /** Address of the MCP endpoint, where the way is remote. */
  get url(): string {
    return this.#url;
  }

  /** How many rows of the store belong to a session, by table. */
  rowsOf(session: string): Record<string, number> {
    const db = new Database(join(this.#folder.path, 'store.db'), { readonly: true });
    const count = (table: string, column: string) =>
      db
        .prepare<[string], number>(`SELECT count(*) FROM ${table} WHERE ${column} = ?`)
        .pluck()
        .get(session) ?? 0;
    const rows = TABLES.map(([table, column]) => [table, count(table, column)] as const);
    db.close();
    return Object.fromEntries(rows.filter(([, found]) => found > 0));
  }

  /** Stops the proxy and starts another one on the same store. */
  async restart(): Promise<void> {
    await this.#proxy.stop();
    this.#proxy = new SessionProxy({ config: loadConfig(this.#file, {}) });
    await this.#listen();
  }

  async #listen(): Promise<void> {
    if (this.#way === 'remote') this.#url = await this.#proxy.listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy.stop();
    this.#folder[Symbol.dispose]();
  }
}
