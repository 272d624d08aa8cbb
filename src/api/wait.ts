import type { SessionView } from '../admin/door.js';
import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';

/** Not everything that changes is an event: the loss of a connection is none. Milliseconds. */
const LOOK_EVERY = 250;

/** The clock's timers let the process end; what is waited for must keep it. */
const HOLD = 2 ** 30;

/** One session, as far as waiting for it goes. */
export interface Watched {
  readonly clock: Clock;
  look(): Promise<SessionView>;
  follow(onevent: () => void): Promise<() => void>;
  /** Starts its servers. */
  start(): Promise<SessionView>;
}

/** @throws {ProxyError} `late()` when the job is not done in time; the job itself goes on */
export async function within<T>(
  clock: Clock,
  timeout: number | undefined,
  job: Promise<T>,
  late: () => ProxyError,
): Promise<T> {
  if (timeout === undefined) return job;
  let cancel = () => {};
  const hold = setInterval(() => {}, HOLD);
  const alarm = new Promise<never>((_, reject) => {
    cancel = clock.after(timeout, () => reject(late()));
  });
  try {
    return await Promise.race([job, alarm]);
  } finally {
    cancel();
    clearInterval(hold);
  }
}

/**
 * Resolves when `holds` does.
 * @param timeout milliseconds
 * @throws {ProxyError} CALL_TIMEOUT, SESSION_CLOSED, SESSION_NOT_FOUND
 */
export async function waitUntil(
  session: Watched,
  timeout: number,
  holds: (session: SessionView) => boolean | Promise<boolean>,
): Promise<SessionView> {
  const { clock } = session;
  let seen = '';
  let over = false;
  let wake = () => {};
  const look = async (): Promise<SessionView> => {
    let stop: (() => void) | undefined;
    try {
      for (;;) {
        const changed = new Promise<void>((resolve) => (wake = resolve));
        const view = await session.look();
        if (over || (await holds(view))) return view;
        seen = told(view);
        if (view.state === 'closed') {
          const text = `Session ${view.name ?? view.id} was closed while something else was waited for.`;
          throw new ProxyError('SESSION_CLOSED', text);
        }
        stop ??= await follow(session, () => wake());
        if (!stop) continue;
        const cancel = clock.after(LOOK_EVERY, wake);
        await changed;
        cancel();
      }
    } finally {
      stop?.();
    }
  };
  const late = () => {
    const text = `What was waited for did not come within ${formatDuration(timeout)}: session ${seen}.`;
    return new ProxyError('CALL_TIMEOUT', text);
  };
  try {
    return await within(clock, timeout, look(), late);
  } finally {
    over = true;
    wake();
  }
}

/** @returns undefined for a session that was closed in the meantime */
async function follow(session: Watched, onevent: () => void): Promise<(() => void) | undefined> {
  try {
    return await session.follow(onevent);
  } catch (error) {
    if (error instanceof ProxyError && error.code === 'SESSION_CLOSED') return undefined;
    throw error;
  }
}

/** Starts the session's servers and waits for them. @throws {ProxyError} as `waitUntil` */
export async function waitUntilReady(session: Watched, timeout: number): Promise<SessionView> {
  // What cannot be started is tried again by the session itself, and so is waited for.
  const started = session.start();
  const ready = waitUntil(session, timeout, isReady);
  return Promise.race([ready, started.then(() => ready)]);
}

/** A server of scope `call` runs during a call alone. */
function isReady({ bindings }: SessionView): boolean {
  return bindings.every(({ state, scope }) => state === 'connected' || scope === 'call');
}

function told({ id, name, state, bindings }: SessionView): string {
  const servers = bindings.map(
    (binding) => `${binding.server} ${binding.state}${binding.error ? ` (${binding.error})` : ''}`,
  );
  return `${name ?? id} is ${state}, its servers are ${servers.join(', ') || 'none'}`;
}
