import type { Door, SessionView } from '../admin/door.js';
import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';

/** Not everything that changes is an event: the loss of a connection is none. Milliseconds. */
const LOOK_EVERY = 250;

/** The clock's timers let the process end; what is waited for must keep it. */
const HOLD = 2 ** 30;

export interface Waiting {
  door: Door;
  clock: Clock;
  id: string;
  /** Milliseconds. */
  timeout: number;
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

/** Resolves when `holds` does. @throws {ProxyError} CALL_TIMEOUT, SESSION_CLOSED, SESSION_NOT_FOUND */
export async function waitUntil(
  { door, clock, id, timeout }: Waiting,
  holds: (session: SessionView) => boolean | Promise<boolean>,
): Promise<SessionView> {
  let seen = '';
  let over = false;
  let wake = () => {};
  const look = async (): Promise<SessionView> => {
    let stop: (() => void) | undefined;
    try {
      for (;;) {
        const changed = new Promise<void>((resolve) => (wake = resolve));
        const view = await door.info(id);
        if (over || (await holds(view))) return view;
        seen = told(view);
        if (view.state === 'closed')
          throw new ProxyError(
            'SESSION_CLOSED',
            `Session ${view.name ?? id} was closed while it was waited for.`,
          );
        stop ??= await door.follow(id, () => wake());
        const cancel = clock.after(LOOK_EVERY, wake);
        await changed;
        cancel();
      }
    } finally {
      stop?.();
    }
  };
  const late = () =>
    new ProxyError(
      'CALL_TIMEOUT',
      `What was waited for did not come within ${formatDuration(timeout)}: session ${seen || id}.`,
    );
  try {
    return await within(clock, timeout, look(), late);
  } finally {
    over = true;
    wake();
  }
}

/** Starts the session's servers and waits for them. @throws {ProxyError} as `waitUntil` */
export async function waitUntilReady(waiting: Waiting): Promise<SessionView> {
  // What cannot be started is tried again by the session itself, and so is waited for.
  const started = waiting.door.resume(waiting.id);
  started.catch(() => {});
  const ready = waitUntil(waiting, isReady);
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
