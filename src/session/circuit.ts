import { pause, scatter, type Clock, type Random } from '../clock.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';

/** So many failures in this time open the circuit, milliseconds. */
const FAILURES = 5;
const WINDOW = 10_000;

/** How long it stays open, milliseconds; then one start is tried. */
const COOL_DOWN = 30_000;

/** Up to so long a call waits for the next start; of a longer wait it is told at once. Milliseconds. */
const PATIENCE = 2000;

/** The wait after the second failure in a row, milliseconds; it doubles with each further one, up to the longest. */
const FIRST_WAIT = 400;
const LONGEST_WAIT = 30_000;

/** A server that has run for so long is well, milliseconds. */
export const HEALTHY = 60_000;

export interface CircuitOptions {
  clock: Clock;
  /** By default the real thing. */
  random?: Random;
  /** After a server has run for so long, what failed before does not count any more. Milliseconds. */
  healthy: number;
}

/**
 * Keeps a server that fails again and again from being started again and again. The first failure costs nothing: the
 * next call starts it anew at once. After each further one in a row the next start waits longer; five within ten seconds
 * and calls fail at once for a while, until one start that is let through serves.
 */
export class Circuit {
  readonly #options: CircuitOptions;
  #failures: number[] = [];
  /** Failures without a time of health between them. */
  #row = 0;
  #reason = '';
  /** No start before that, on the steady clock. */
  #until = 0;
  #open = false;
  #trial = false;

  constructor(options: CircuitOptions) {
    this.#options = options;
  }

  /**
   * Before a start: waits until it may be.
   * @param signal given when it is not wanted any more
   * @throws {ProxyError} CIRCUIT_OPEN, SERVER_UNAVAILABLE
   */
  async admit(server: string, signal?: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (let wait = this.#wait; wait > 0; wait = this.#wait) {
      this.refuse(server);
      await pause(clock, wait, signal);
      if (!signal?.aborted) continue;
      throw new ProxyError(
        'SERVER_UNAVAILABLE',
        `Server "${server}" is not wanted any more, and was not started.`,
      );
    }
    if (!this.#open) return;
    this.#trial = true;
    this.#until = clock.steady() + COOL_DOWN; // for all others, until this start has served
  }

  /** @throws {ProxyError} CIRCUIT_OPEN when a call would have to wait too long */
  refuse(server: string): void {
    const wait = this.#wait;
    if (wait <= (this.#open ? 0 : PATIENCE)) return;
    const when = new Date(this.#options.clock.now() + wait).toISOString();
    const often = this.#open
      ? `${FAILURES} times in ${formatDuration(WINDOW)}`
      : `${this.#row} times in a row`;
    throw new ProxyError(
      'CIRCUIT_OPEN',
      `Server "${server}" failed ${often} and is not started again until ${when}. The last time it ${this.#reason}.`,
      { details: { until: when } },
    );
  }

  /**
   * @param reason completes "the last time it …"
   * @param lived how long it ran, milliseconds; undefined when it did not start
   */
  failed(reason: string, lived?: number): void {
    const { clock, random, healthy } = this.#options;
    const now = clock.steady();
    this.#reason = reason.replace(/\.$/, '');
    if (lived !== undefined && lived >= healthy) this.#close(0);
    this.#row += 1;
    this.#failures = [...this.#failures.filter((at) => at > now - WINDOW), now];
    if (this.#trial || this.#failures.length >= FAILURES) this.#open = true;
    this.#trial = false;
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (this.#row - 2));
    this.#until = now + (this.#open ? COOL_DOWN : this.#row === 1 ? 0 : scatter(wait, random));
  }

  /** A server does its work. @param lived as in `failed` */
  served(lived: number): void {
    if (lived >= this.#options.healthy) this.#close(0);
    else if (this.#trial) this.#close(this.#row);
  }

  /** Milliseconds. */
  get #wait(): number {
    return this.#until - this.#options.clock.steady();
  }

  #close(row: number): void {
    this.#trial = this.#open = false;
    this.#until = 0;
    this.#failures = [];
    this.#row = row;
  }
}
