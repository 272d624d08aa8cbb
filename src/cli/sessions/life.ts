import { Option } from 'commander';
import type { Door, ItemResult, NewSession, SessionChange, SessionView } from '../../admin/door.js';
import { ProxyError, asProxyError } from '../../errors.js';
import { EXIT_FAILED } from '../exit.js';
import { parseSeconds } from '../units.js';
import { group, parsePair, parseValue, repeatable, verb } from './command.js';
import { nameOf, told } from './text.js';

interface CreateOptions {
  server?: string[];
  ttl?: number;
  onTimeout?: 'pause' | 'close';
  state?: string[];
  bind?: boolean;
  atomic?: boolean;
  store?: boolean;
  orGet?: boolean;
}

interface ChangeOptions {
  name?: string;
  ttl?: string;
  onTimeout?: 'pause' | 'close' | 'default';
}

type Created = SessionView & { existed?: boolean };

const create = verb({
  usage: 'create [names...]',
  summary: 'make a session, or one of each name',
  options: [
    repeatable('--server <name>', 'only with this server instead of all'),
    new Option('--ttl <duration>', 'idle time after which it is due').argParser(parseSeconds),
    new Option('--on-timeout <what>', 'what happens then').choices(['pause', 'close']),
    repeatable('--state <key=value>', 'state to begin with; a value is JSON, or else text'),
    new Option('--bind', 'start its servers now'),
    new Option('--atomic', 'start all its servers now, or make no session'),
    new Option('--store', 'shared by all principals'),
    new Option('--or-get', 'take the one of that name if there is one'),
  ],
  run: async (door, options: CreateOptions, ...names): Promise<Created | ItemResult<Created>[]> => {
    const settings = toSettings(options);
    const [name, ...others] = names;
    if (name === undefined) {
      if (options.orGet) throw new ProxyError('INVALID_PARAMS', '--or-get needs the name to look for.');
      return door.create(settings);
    }
    const one = (each: string) =>
      options.orGet
        ? door.getOrCreate({ ...settings, name: each })
        : door.create({ ...settings, name: each });
    if (others.length === 0) return one(name);
    return options.orGet
      ? eachOf(names, one)
      : failing(await door.createMany(names.map((each) => ({ ...settings, name: each }))));
  },
  text: (created, _, ...names) => {
    const line = (session: Created) =>
      `${session.existed ? 'There was' : 'Created'} ${nameOf(session)} (${session.id}).`;
    return Array.isArray(created) ? itemLines(created, names, line) : line(created);
  },
});

const close = verb({
  usage: 'close [sessions...]',
  summary: 'close sessions for good; closing what is not there is no error',
  options: [
    new Option('--force', 'kill its servers at once'),
    new Option('--purge', 'delete what is left of it, too'),
    new Option('--all', 'all sessions of yours').conflicts(['force', 'purge']),
  ],
  run: async (
    door,
    { force = false, purge = false, all }: { force?: boolean; purge?: boolean; all?: true },
    ...refs
  ) => {
    if ((refs.length === 0) !== (all === true)) {
      throw new ProxyError('INVALID_PARAMS', 'Name the sessions to close, or close --all.');
    }
    if (all) return door.closeAll();
    const one = (ref: string) => door.close(ref, { force, purge });
    const [ref, ...others] = refs;
    return ref !== undefined && others.length === 0 ? one(ref) : eachOf(refs, one);
  },
  text: (closed: number | boolean | ItemResult<boolean>[], _, ...refs) => {
    if (typeof closed === 'number') return `Closed ${closed === 1 ? '1 session' : `${closed} sessions`}.`;
    const line = (was: boolean, ref: string) =>
      was ? `Closed ${ref}.` : `There was no open session ${ref}.`;
    return typeof closed === 'boolean' ? line(closed, refs[0] ?? '') : itemLines(closed, refs, line);
  },
});

const refresh = verb({
  usage: 'refresh [session]',
  summary: 'move the deadline of a session as a request would',
  options: [new Option('--all', 'of all sessions of yours that are in use')],
  run: (door, { all }: { all?: boolean }, ref?: string): Promise<SessionView | number> => {
    if ((ref === undefined) !== (all === true)) {
      throw new ProxyError('INVALID_PARAMS', 'Name the session to refresh, or refresh --all.');
    }
    return ref === undefined ? door.refreshAll() : door.refresh(ref);
  },
  text: (value) =>
    typeof value === 'number' ? `Refreshed ${value === 1 ? '1 session' : `${value} sessions`}.` : told(value),
});

const pause = verb({
  usage: 'pause <session>',
  summary: 'stop the servers of a session and keep everything else',
  options: [new Option('--force', 'also with requests under way, whose outcome is unknown then')],
  run: (door, { force = false }: { force?: boolean }, ref) => door.pause(ref, force),
  text: told,
});

const set = verb({
  usage: 'set <session>',
  summary: 'change name or deadlines of a session',
  options: [
    new Option('--name <name>', 'its name; empty for none'),
    new Option('--ttl <duration>', 'idle time after which it is due, or "default"'),
    new Option('--on-timeout <what>', 'what happens then').choices(['pause', 'close', 'default']),
  ],
  run: (door, options: ChangeOptions, ref) => door.update(ref, toChange(options)),
  text: told,
});

const collect = verb({
  usage: 'gc',
  summary: 'end what is due and delete what is old, now instead of by and by',
  run: (door) => door.collect(),
  text: ({ paused, deleted }) => `Ended ${paused} that were due, deleted ${deleted} that were old.`,
});

/** What does one thing to one session, which is told afterwards. */
const DEEDS: [
  usage: string,
  summary: string,
  run: (door: Door, ...args: string[]) => Promise<SessionView>,
][] = [
  [
    'extend <session> <duration>',
    'move the deadline of a session by exactly so long: seconds, or as 90s, 30m',
    (door, ref, duration) => door.extend(ref, parseSeconds(duration)),
  ],
  ['resume <session>', 'start the servers of a session', (door, ref) => door.resume(ref)],
  ['restart <session>', 'replace the processes of its servers', (door, ref) => door.restart(ref)],
  ['recover <session>', 'try again what could not be started', (door, ref) => door.recover(ref)],
  [
    'fork <session> [name]',
    'make a session with the state and settings of this one, and none of its connections',
    (door, ref, name?: string) => door.fork(ref, name),
  ],
  ['rename <session> <name>', 'give a session another name', (door, ref, name) => door.update(ref, { name })],
  [
    'share <session> <alias> <principals...>',
    'let others use a session as @alias: principals by id, or "*" for everybody',
    (door, ref, alias, ...principals) => door.share(ref, alias, principals),
  ],
];

const deeds = DEEDS.map(([usage, summary, run]) =>
  verb({ usage, summary, run: (door, _, ...args) => run(door, ...args), text: told }),
);

export const life = group(create, refresh, pause, ...deeds, set, close, collect);

function toSettings({ server, ttl, onTimeout, state, bind, atomic, store }: CreateOptions): NewSession {
  return {
    ...(server ? { servers: server } : {}),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl }),
    ...(onTimeout ? { onTimeout } : {}),
    ...(state ? { state: Object.fromEntries(state.map(toEntry)) } : {}),
    ...(atomic ? { bind: 'atomic' } : bind ? { bind } : {}),
    ...(store ? { scope: 'store' } : {}),
  };
}

function toEntry(pair: string): [string, unknown] {
  const [key, value] = parsePair(pair, '--state');
  return [key, parseValue(value)];
}

function toChange({ name, ttl, onTimeout }: ChangeOptions): SessionChange {
  return {
    ...(name === undefined ? {} : { name: name === '' ? null : name }),
    ...(ttl === undefined ? {} : { ttlSeconds: ttl === 'default' ? null : parseSeconds(ttl) }),
    ...(onTimeout ? { onTimeout: onTimeout === 'default' ? null : onTimeout } : {}),
  };
}

/** What became of each; one that failed stops no other. */
async function eachOf<Value>(
  refs: string[],
  run: (ref: string) => Promise<Value>,
): Promise<ItemResult<Value>[]> {
  const ends = await Promise.allSettled(refs.map(run));
  return failing(
    ends.map((end) =>
      end.status === 'fulfilled'
        ? { ok: true, value: end.value }
        : { ok: false, error: asProxyError(end.reason).toJsonRpc() },
    ),
  );
}

/** The results, and the exit code when not all are good. */
function failing<Value>(results: ItemResult<Value>[]): ItemResult<Value>[] {
  if (results.some(({ ok }) => !ok)) process.exitCode = EXIT_FAILED;
  return results;
}

function itemLines<Value>(
  results: ItemResult<Value>[],
  refs: string[],
  line: (value: Value, ref: string) => string,
): string {
  return results
    .map((result, index) => {
      const ref = refs[index] ?? '';
      return result.ok ? line(result.value, ref) : `${ref}: ${result.error.message}`;
    })
    .join('\n');
}
