import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Door, EventView, Snapshot } from '../../admin/door.js';
import * as schema from '../../admin/schemas.js';
import { ProxyError, messageOf } from '../../errors.js';
import { given, group, parseJson, toJson, verb } from './command.js';
import { nameOf } from './text.js';

/** Where the history of another session stands in one that was made of it. */
const IMPORTED = 'imported';

const carried = z.strictObject({
  format: z.literal('mcp-session-proxy/session@1'),
  name: z.string().nullable(),
  servers: z.array(z.string()),
  state: schema.fields,
  snapshots: z.array(z.object({ name: z.string(), value: z.unknown() })),
  events: z.array(schema.eventView),
});

/** One session as a file: what it keeps, without its processes and their files. */
type Carried = z.output<typeof carried>;

const exported = verb({
  usage: 'export <session>',
  summary: 'print what a session keeps as JSON: its servers, own state, snapshots and events',
  run: async (door, _, ref): Promise<Carried> => {
    const { id, name, bindings } = await door.info(ref);
    const state = Object.entries(await door.getState(id)).filter(([key]) => !key.includes(':'));
    const snapshots: Snapshot[] = [];
    for (const latest of await door.listSnapshots(id))
      snapshots.push(...(await door.listSnapshots(id, latest.name)));
    return {
      format: 'mcp-session-proxy/session@1',
      name,
      servers: bindings.map(({ server }) => server),
      state: Object.fromEntries(state),
      snapshots: snapshots.map(({ name: under, value }) => ({ name: under, value })),
      events: await door.events(id),
    };
  },
  text: toJson,
});

const imported = verb({
  usage: 'import <file> [name]',
  summary: 'make a session of what export printed; - reads standard input',
  run: async (door, _, file, name?: string) => {
    const { servers, state, snapshots, events, name: before } = read(file);
    const called = name ?? before;
    const made = await door.create({ servers, state, ...(called === null ? {} : { name: called }) });
    try {
      await fill(door, made.id, snapshots, events);
    } catch (error) {
      await door.close(made.id, { purge: true });
      throw error;
    }
    return made;
  },
  text: (made) => `Imported ${nameOf(made)} (${made.id}); its history is on the track "${IMPORTED}".`,
});

export const carry = group(exported, imported);

async function fill(door: Door, id: string, snapshots: Carried['snapshots'], events: EventView[]) {
  for (const { name, value } of snapshots) await door.saveSnapshot(id, name, value);
  for (const { type, ...event } of events) await door.appendEvent(id, IMPORTED, type, event);
}

/** @throws {ProxyError} INVALID_PARAMS */
function read(file: string): Carried {
  const parsed = carried.safeParse(parseJson(textOf(file), file));
  if (parsed.success) return parsed.data;
  throw new ProxyError(
    'INVALID_PARAMS',
    `${file} is not what export prints: ${z.prettifyError(parsed.error)}`,
  );
}

function textOf(file: string): string {
  if (file === '-') return given(file);
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ProxyError('INVALID_PARAMS', `Cannot read ${file}: ${messageOf(error)}.`, { cause: error });
  }
}
