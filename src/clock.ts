/** Time as the proxy sees it, handed in so that tests can turn the hands themselves. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `run` once after `ms` milliseconds; the returned function takes the appointment back. */
  after(ms: number, run: () => void): () => void;
}

/** setTimeout holds 31 bits of milliseconds; a longer wait would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The machine's clock. Its timers never hold the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(ms, LONGEST_TIMER));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

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
