import type { EventView, SessionPage, SessionView, ToolResult } from '../../admin/door.js';
import { isFields, type Fields } from '../../protocol/messages.js';
import { oneLine, table } from '../table.js';
import { formatSize, fromNow } from '../units.js';

/** Longer descriptions, values and events are cut in tables; JSON has them whole. */
export const LONGEST_CELL = 100;

export function nameOf({ name, id }: Pick<SessionView, 'name' | 'id'>): string {
  return name ?? id;
}

/** What became of a session, in one line. */
export function told(session: SessionView): string {
  const due = dueIn(session);
  return `${nameOf(session)} is ${session.state}${due === '' ? '' : `, due ${due}`}.`;
}

export function listed({ sessions, nextCursor }: SessionPage, withPrincipal: boolean): string {
  if (sessions.length === 0) return 'No sessions.';
  const rows = sessions.map((session) => [
    session.name ?? '',
    session.id,
    session.state + (session.temporary ? ' (temporary)' : ''),
    session.bindings
      .filter(({ state }) => state !== 'unbound')
      .map(({ server, state }) => (state === 'connected' ? server : `${server} (${state})`))
      .join(', '),
    dueIn(session),
    fromNow(session.lastActiveAt),
    session.scope === 'store' ? 'everybody' : withPrincipal ? session.principal : 'you',
  ]);
  const more = nextCursor === undefined ? '' : `\nThere are more: --cursor ${nextCursor}`;
  return table([['NAME', 'ID', 'STATE', 'SERVERS', 'DUE', 'USED', 'OWNER'], ...rows]) + more;
}

/** All there is to know of a session, on one screen. */
export function described(
  session: SessionView,
  facts: readonly [string, string][],
  last: EventView[],
): string {
  const { id, name, principal, scope, state, temporary, createdAt, updatedAt, lastActiveAt, bindings } =
    session;
  const when = (iso: string) => `${fromNow(iso)} (${iso})`;
  const due = dueIn(session);
  const head = [
    ['name', name ?? '(none)'],
    ['id', id],
    ['owner', scope === 'store' ? 'everybody' : principal],
    ['state', state + (temporary ? ', temporary' : '')],
    ['due', due === '' ? 'no' : `${due} (${session.expiresAt})`],
    ['created', when(createdAt)],
    ['changed', when(updatedAt)],
    ['last used', when(lastActiveAt)],
    ...facts,
  ];
  const servers = bindings.map(
    ({ server, state: link, scope: shared, generation, pid, tools, error = '' }) => [
      server,
      link,
      shared,
      String(generation),
      pid === undefined ? '' : String(pid),
      tools === undefined ? '' : String(tools),
      error,
    ],
  );
  return [
    table(head),
    table([['SERVER', 'STATE', 'SCOPE', 'GENERATION', 'PID', 'TOOLS', 'ERROR'], ...servers]),
    events(last),
  ].join('\n\n');
}

export function events(list: EventView[]): string {
  if (list.length === 0) return 'No events.';
  const rows = list.map((event) => [
    String(event.seq),
    fromNow(event.at),
    event.type,
    oneLine(summary(event.data), LONGEST_CELL),
  ]);
  return table([['SEQ', 'WHEN', 'EVENT', 'WHAT'], ...rows]);
}

/** One event as it happens. */
export function eventLine({ seq, at, type, data }: EventView): string {
  const time = new Date(at).toTimeString().slice(0, 8);
  return oneLine(`${String(seq).padStart(4)}  ${time}  ${type.padEnd(14)}  ${summary(data)}`);
}

/** The fields of an object as words. */
export function summary(data: Fields): string {
  return Object.entries(data)
    .map(([key, value]) => `${key}=${plain(value)}`)
    .join(' ');
}

export function plain(value: unknown = ''): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** What a tool answered: texts as they are, of all else what it is. */
export function answered({ content, structuredContent }: ToolResult): string {
  const parts = Array.isArray(content) ? content.filter(isFields) : [];
  if (parts.length > 0) return readable(parts.map(part).join('\n'));
  return structuredContent === undefined ? '' : JSON.stringify(structuredContent, null, 2);
}

function part(item: Fields): string {
  const { type, text, data, mimeType, resource } = item;
  if (type === 'text' && typeof text === 'string') return text;
  if (typeof data === 'string') return `[${plain(type)} ${plain(mimeType)}, ${sizeOf(data)}]`;
  if (type === 'resource' && isFields(resource)) {
    if (typeof resource.text === 'string') return resource.text;
    const size = typeof resource.blob === 'string' ? `, ${sizeOf(resource.blob)}` : '';
    return `[resource ${plain(resource.uri)}${size}]`;
  }
  if (type === 'resource_link') return `[link ${plain(item.uri)}]`;
  return JSON.stringify(item);
}

function sizeOf(base64: string): string {
  return formatSize(Buffer.byteLength(base64, 'base64'));
}

/** A terminal obeys control characters, and a server may have got its text from anywhere. */
function readable(text: string): string {
  return process.stdout.isTTY ? text.replace(/(?![\n\t])\p{Cc}/gu, '') : text;
}

/** Empty when nothing is due. */
function dueIn({ state, expiresAt }: SessionView): string {
  if (expiresAt === null || state === 'closed') return '';
  if (Date.parse(expiresAt) > Date.now()) return fromNow(expiresAt);
  return state === 'active' || state === 'error' ? 'now' : '';
}
