import { scatter, type Clock, type Random } from '../clock.js';

/** Longest waits before a server that could not be started is tried again, milliseconds; then it waits for a request. */
const WAITS = [1000, 2000, 4000, 8000, 16_000];

export interface RecoveryOptions {
  clock: Clock;
  random?: Random;
}

/** Tries in the background to start what could not be started. */
export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #retry: (name: string) => Promise<void>;
  readonly #appointments = new Map<string, () => void>();

  /** @param retry starts a server unless it runs by now; rejects when it cannot */
  constructor(options: RecoveryOptions, retry: (name: string) => Promise<void>) {
    this.#options = options;
    this.#retry = retry;
  }

  later(name: string, attempt = 0): void {
    const wait = WAITS[attempt];
    if (wait === undefined) return;
    const { clock, random } = this.#options;
    // Not all at the same moment, where many sessions wait for the same server.
    const stop = clock.after(scatter(wait, random), () => {
      this.#retry(name).catch(() => this.later(name, attempt + 1));
    });
    this.#appointments.set(name, stop);
  }

  stop(): void {
    for (const stop of this.#appointments.values()) stop();
    this.#appointments.clear();
  }
}
