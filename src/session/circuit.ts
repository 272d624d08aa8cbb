import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';

/** So many failures in this time open the circuit, milliseconds. */
const FAILURES = 5;
const WINDOW = 10_000;

/** Whether a server that left by itself after so many milliseconds counts as one that failed. */
export function isEarly(lived: number): boolean {
  return lived < WINDOW;
}

/** How long it stays open, milliseconds; then one start is tried. */
const COOL_DOWN = 30_000;

/**
 * Keeps a server that fails again and again from being started again and again: its calls fail at once instead. After
 * a while one start is let through, and if that one serves, everything is as before.
 */
export class Circuit {
  readonly #clock: Clock;
  #failures: number[] = [];
  #reason = '';
  #until = 0;
  #trial = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Before a start. @throws {ProxyError} CIRCUIT_OPEN */
  admit(server: string): void {
    const now = this.#clock.now();
    // A clock that was put back does not keep it open for longer.
    if (now < this.#until && now >= this.#until - COOL_DOWN) {
      const when = new Date(this.#until).toISOString();
      throw new ProxyError(
        'CIRCUIT_OPEN',
        `Server "${server}" failed ${FAILURES} times in ${formatDuration(WINDOW)} and is not started again until ` +
          `${when}. The last time it ${this.#reason}.`,
        { details: { until: when } },
      );
    }
    if (this.#until === 0) return;
    this.#trial = true;
    this.#until = now + COOL_DOWN; // for all others, until this start has served
  }

  /** @param reason completes "the last time it …" */
  failed(reason: string): void {
    const now = this.#clock.now();
    this.#reason = reason.replace(/\.$/, '');
    this.#failures = [...this.#failures.filter((at) => at > now - WINDOW), now];
    if (!this.#trial && this.#failures.length < FAILURES) return;
    this.#trial = false;
    this.#until = now + COOL_DOWN;
  }

  /** A server that was let through as a trial does its work. */
  served(): void {
    if (!this.#trial) return;
    this.#trial = false;
    this.#until = 0;
    this.#failures = [];
  }
}
