import type { SessionRow, SessionState } from '../store/types.js';
import { EVERYBODY } from './access.js';
import type { Rung } from './correlate.js';
import type { BindingInfo } from './servers.js';
import type { Session } from './session.js';

/** A session as every door shows it. Times are ISO 8601. */
export interface SessionView {
  id: string;
  name: string | null;
  principal: string;
  /** `agent`: the principal's own; `store`: shared by all principals. */
  scope: 'agent' | 'store';
  state: SessionState;
  temporary: boolean;
  createdAt: string;
  updatedAt: string;
  lastActiveAt: string;
  /** When it is due to be paused or closed; null while a request holds it, and when it is closed. */
  expiresAt: string | null;
  bindings: BindingInfo[];
  /** Its requests since the proxy started, by what named it: handle, address, hint, id or policy. */
  rungs: Partial<Record<Rung, number>>;
}

export function viewOf(session: Session): SessionView {
  const { id, name, principal, state, temporary, createdAt, updatedAt, lastActiveAt, expiresAt } = session;
  return {
    id,
    name,
    principal,
    scope: principal === EVERYBODY ? 'store' : 'agent',
    state,
    temporary,
    createdAt: iso(createdAt),
    updatedAt: iso(Math.max(updatedAt, lastActiveAt)),
    lastActiveAt: iso(lastActiveAt),
    expiresAt: expiresAt === Infinity || state === 'closed' ? null : iso(expiresAt),
    bindings: session.servers.infos().map((info) => withTools(info, session)),
    rungs: { ...session.clients.counts },
  };
}

function withTools(info: BindingInfo, { listed }: Session): BindingInfo {
  const tools = listed.get(info.server);
  return tools === undefined ? info : { ...info, tools };
}

/** A session that another process runs: what the store knows of it. */
export function viewOfRow(row: SessionRow): SessionView {
  return {
    id: row.id,
    name: row.name,
    principal: row.principal,
    scope: row.principal === EVERYBODY ? 'store' : 'agent',
    state: row.state,
    temporary: row.temporary,
    createdAt: iso(row.createdAt),
    updatedAt: iso(row.updatedAt),
    lastActiveAt: iso(row.lastActiveAt),
    expiresAt: null,
    bindings: [],
    rungs: {},
  };
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Where a list goes on: after this session, in the order of the list. */
export function cursorOf({ updatedAt, id }: Pick<SessionRow, 'updatedAt' | 'id'>): string {
  return Buffer.from(`${updatedAt} ${id}`).toString('base64url');
}

export function parseCursor(cursor: string): { updatedAt: number; id: string } | undefined {
  const [, updatedAt, id] = /^(\d+) (\S+)$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? [];
  return updatedAt && id ? { updatedAt: Number(updatedAt), id } : undefined;
}
