import { Option } from 'commander';
import type { Door, EventQuery, ListQuery, SessionView } from '../../admin/door.js';
import { tail } from '../../admin/tail.js';
import { ProxyError } from '../../errors.js';
import { isFields, type Fields } from '../../protocol/messages.js';
import { table } from '../table.js';
import { parseCount, parseSeconds, parseTime } from '../units.js';
import { PRINTED, group, print, repeatable, verb, type CommonOptions } from './command.js';
import { described, eventLine, events, listed, plain, told } from './text.js';

const STATES = ['idle', 'active', 'paused', 'error', 'closed'] as const satisfies SessionView['state'][];

/** Events shown unless more are asked for. */
const EVENTS = 20;
const EVENTS_OF_SHOW = 5;

/** How often `events --follow` makes sure that the proxy is still there, milliseconds, and how long it may be away. */
const HEARTBEAT = 2000;
const ABSENCE = 10_000;
const POLL = 100;

interface ListOptions {
  state?: string[];
  user?: string;
  all?: boolean;
  limit?: number;
  cursor?: string;
}

interface ShowOptions {
  tools?: boolean;
}

interface EventOptions {
  last?: number;
  since?: number;
  after?: number;
  track?: string;
  follow?: boolean;
}

interface WaitOptions {
  state?: string;
  server?: string;
  timeout: string;
}

const ls = verb({
  usage: 'ls',
  summary: 'list your sessions, the last changed first',
  options: [
    repeatable('--state <state>', `only those in this state, also closed ones: ${STATES.join(', ')}`),
    new Option('--user <principal>', 'those of this principal; for administrators'),
    new Option('--all', "everybody's; for administrators"),
    new Option('--limit <n>', 'at most so many; 20 by default').argParser(parseCount),
    new Option('--cursor <cursor>', 'go on where the last list ended'),
  ],
  run: (door, options: ListOptions) => door.list(toListQuery(options)),
  text: (page, { all, user }) => listed(page, all === true || user !== undefined),
});

const show = verb({
  usage: 'show <session>',
  summary: 'show a session: deadline, servers, state and last events',
  options: [new Option('--tools', 'also ask its servers how many tools they have, which counts as use')],
  run: async (door, { json, tools }: ShowOptions & CommonOptions, ref) => {
    const asked = tools ? await door.listTools(ref) : undefined;
    const session = await door.info(ref);
    if (json) return { session, facts: [], last: [] };
    const facts: [string, string][] = [];
    if (asked) facts.push(['tools', String(asked.length)]);
    if (session.state !== 'closed') {
      const keys = Object.keys(await door.getState(session.id));
      facts.push(['keys', keys.length === 0 ? 'none' : keys.join(', ')]);
    }
    return { session, facts, last: await door.events(session.id, { last: EVENTS_OF_SHOW }) };
  },
  text: ({ session, facts, last }) => described(session, facts, last),
  json: ({ session }) => session,
});

const history = verb({
  usage: 'events <session>',
  summary: 'print what happened in a session, oldest first',
  options: [
    new Option('-n, --last <n>', `the last so many; ${EVENTS} by default`).argParser(parseCount),
    new Option('--since <time>', 'those since an ISO time, or, as 10m, during that long').argParser(
      parseTime,
    ),
    new Option('--after <seq>', 'those after this number').argParser(parseCount),
    new Option('--track <track>', "those of a track of your own instead of the session's"),
    new Option(
      '-f, --follow',
      'go on with what happens from now on, until Ctrl-C; as JSON a line each',
    ).conflicts('track'),
  ],
  running: ({ follow = false }: EventOptions) => follow,
  run: (door, options: EventOptions & CommonOptions, ref) =>
    options.follow ? followed(door, options, ref) : door.events(ref, toEventQuery(options)),
  text: events,
});

const stats = verb({
  usage: 'stats',
  summary: 'count sessions by state, those with servers, and requests under way',
  run: (door) => door.stats(),
  text: counts,
});

const wait = verb({
  usage: 'wait <session>',
  summary: 'wait until the servers of a session run, or until it is in some state',
  options: [
    new Option('--state <state>', 'wait for this state instead').choices(STATES),
    new Option('--server <name>', 'wait for this server alone').conflicts('state'),
    new Option('--timeout <duration>', 'at most so long').default('60s'),
  ],
  running: () => true,
  run: async (door, { state, server, timeout }: WaitOptions, ref) => {
    const end = Date.now() + parseSeconds(timeout) * 1000;
    for (;;) {
      // Looking refreshes no deadline, so that waiting keeps nothing alive.
      const session = await door.info(ref);
      const links = session.bindings.filter((one) => server === undefined || one.server === server);
      if (server !== undefined && links.length === 0) {
        throw new ProxyError('NOT_FOUND', `Session "${ref}" has no server "${server}".`);
      }
      // One of scope `call` runs during calls alone.
      const ready = links.every((link) => link.state === 'connected' || link.scope === 'call');
      if (state === undefined ? ready : session.state === state) return session;
      if (Date.now() > end) {
        const found = links.map((link) => `${link.server} ${link.state}`).join(', ');
        throw new ProxyError(
          'CALL_TIMEOUT',
          `Session "${ref}" is not ${state ?? 'ready'} after ${timeout}: it is ${session.state}, with ${found || 'no server'}.`,
        );
      }
      await sleep(POLL);
    }
  },
  text: told,
});

export const look = group(ls, show, history, stats, wait);

function toListQuery({ state, user, all, limit, cursor }: ListOptions): ListQuery {
  const states = state?.map((given) => {
    const known = STATES.find((one) => one === given);
    if (known) return known;
    throw new ProxyError('INVALID_PARAMS', `"${given}" is no state. There are ${STATES.join(', ')}.`);
  });
  return {
    ...(states ? { states } : {}),
    ...(user === undefined ? {} : { principal: user }),
    ...(all ? { all } : {}),
    ...(limit === undefined ? {} : { limit }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

function toEventQuery({ last, since, after, track }: EventOptions): EventQuery {
  const bounded = since !== undefined || after !== undefined;
  return {
    ...(last !== undefined ? { last } : bounded ? {} : { last: EVENTS }),
    ...(since === undefined ? {} : { since }),
    ...(after === undefined ? {} : { after }),
    ...(track === undefined ? {} : { track }),
  };
}

/** Prints until Ctrl-C, or until the session is closed. */
async function followed(
  door: Door,
  options: EventOptions & CommonOptions,
  ref: string,
): Promise<typeof PRINTED> {
  const { id } = await door.info(ref);
  let open = true;
  const stop = () => void (open = false);
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const unfollow = await tail(door, id, toEventQuery(options), (event) => {
    print(options.json ? JSON.stringify(event) : eventLine(event));
    if (event.type === 'state' && event.data.to === 'closed') stop();
  });
  try {
    let seen = Date.now();
    for (let next = seen + HEARTBEAT; open; await sleep(POLL)) {
      if (Date.now() < next) continue;
      next = Date.now() + HEARTBEAT;
      try {
        await door.info(id);
        seen = Date.now();
      } catch (error) {
        // The door goes on where it broke off when the proxy is restarted.
        const away = error instanceof ProxyError && error.code === 'SERVER_UNAVAILABLE';
        if (!away || Date.now() - seen > ABSENCE) throw error;
      }
    }
  } finally {
    unfollow();
  }
  return PRINTED;
}

function counts(fields: Fields): string {
  const rows = Object.entries(fields).flatMap(([key, value]) =>
    isFields(value)
      ? Object.entries(value).map(([name, count]) => [`${key} ${name}`, plain(count)])
      : [[key, plain(value)]],
  );
  return table([['WHAT', 'COUNT'], ...rows]);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
