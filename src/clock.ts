/** Time as the proxy sees it, handed in so that tests can turn the hands themselves. */
export interface Clock {
  /** Milliseconds since the epoch, by the machine's clock: for what is stored and shown. */
  now(): number;
  /** Milliseconds from some moment on, whatever the clock is set to: for what lives in memory alone. */
  steady(): number;
  /** The moment at which `ms` milliseconds have gone by since `at`; both as `now` tells or told them. */
  due(at: number, ms: number): number;
  /** The moment that was so many milliseconds ago, as `now` told it then. */
  ago(ms: number): number;
  /** Calls `run` once after `ms` milliseconds; the returned function takes the appointment back. */
  after(ms: number, run: () => void): () => void;
}

/** setTimeout holds 31 bits of milliseconds; a longer wait would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** By less than this the clock runs fast or slow, or is corrected; nobody has set it. Milliseconds. */
const NOTABLE = 10_000;

/** So many jumps of the clock are remembered; a laptop makes one each time it sleeps. */
const MOST_JUMPS = 100;

/**
 * Times of the machine's clock, and how long ago they were. A clock that is set forward makes nothing older, nor does a
 * machine that sleeps, where its steady clock sleeps with it. Of one that is set back, what was stored before is too young.
 */
export class Hands implements Omit<Clock, 'after'> {
  readonly steady: () => number;
  readonly #wall: () => number;
  /** How far the two are apart. */
  #apart: number;
  /** When that was last looked at. */
  #looked: number;
  /** Times that the clock passed over, the oldest first. */
  #jumps: { from: number; to: number }[] = [];

  /** @param wall milliseconds since the epoch, as they are set */
  constructor(wall: () => number, steady: () => number) {
    this.#wall = wall;
    this.steady = steady;
    this.#looked = steady();
    this.#apart = wall() - this.#looked;
  }

  now(): number {
    const [now, steady] = [this.#wall(), this.steady()];
    const jump = now - steady - this.#apart;
    const before = now - (steady - this.#looked);
    this.#looked = steady;
    if (Math.abs(jump) < NOTABLE) return now;
    this.#apart = now - steady;
    if (jump > 0) this.#jumps = [...this.#jumps, { from: now - jump, to: now }].slice(-MOST_JUMPS);
    // What it passed over comes after all, or has come since.
    else
      this.#jumps = this.#jumps.flatMap(({ from, to }) =>
        from < before ? { from, to: Math.min(to, before) } : [],
      );
    return now;
  }

  due(at: number, ms: number): number {
    this.now();
    let due = at + ms;
    for (const { from, to } of this.#jumps) if (to > at && from < due) due += to - Math.max(from, at);
    return due;
  }

  ago(ms: number): number {
    let at = this.now() - ms;
    for (const { from, to } of this.#jumps.toReversed()) if (to > at) at -= to - from;
    return at;
  }
}

class SystemClock extends Hands implements Clock {
  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, Math.min(ms, LONGEST_TIMER));
    timer.unref();
    return () => clearTimeout(timer);
  }
}

/** The machine's clock. Its timers never hold the process alive. */
export const systemClock: Clock = new SystemClock(
  () => Date.now(),
  () => performance.now(),
);

/** A number from 0 to 1, so that what failed at the same moment is not tried again at the same moment. */
export type Random = () => number;

/** Between half of the time and all of it. */
export function scatter(ms: number, random: Random = Math.random): number {
  return ms * (0.5 + random() / 2);
}

/** Resolves after so many milliseconds, or when the signal is given. */
export function pause(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = clock.after(ms, end);
    signal?.addEventListener('abort', end, { once: true });
    function end(): void {
      stop();
      signal?.removeEventListener('abort', end);
      resolve();
    }
  });
}

/** What the promise resolves with; undefined when it takes longer than so many milliseconds. */
export async function within<T>(clock: Clock, ms: number, promise: Promise<T>): Promise<T | undefined> {
  let stop: () => void = () => {};
  const late = new Promise<undefined>((resolve) => {
    stop = clock.after(ms, () => resolve(undefined));
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop();
  }
}
