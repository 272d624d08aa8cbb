import { Hands, type Clock } from '../../../src/clock.js';

/** How long what follows from an appointment gets before the next one, milliseconds. */
const AFTERMATH = 2;

/** The machine's clock, whose hands the test can put forward: real processes go on meanwhile. */
export class ForwardClock extends Hands implements Clock {
  readonly #ahead: { ms: number };
  readonly #appointments = new Set<{ at: number; keep: () => void }>();

  constructor() {
    const ahead = { ms: 0 };
    super(
      () => Date.now() + ahead.ms,
      () => performance.now() + ahead.ms,
    );
    this.#ahead = ahead;
  }

  after(ms: number, run: () => void): () => void {
    const cancel = () => {
      clearTimeout(timer);
      this.#appointments.delete(appointment);
    };
    const keep = () => {
      cancel();
      run();
    };
    const appointment = { at: this.now() + ms, keep };
    const timer = setTimeout(keep, Math.min(ms, 2 ** 31 - 1));
    timer.unref();
    this.#appointments.add(appointment);
    return cancel;
  }

  /** Puts the hands forward; every appointment on the way is kept in its turn, also those that follow from it. */
  async forward(ms: number): Promise<void> {
    const end = this.now() + ms;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#goTo(next.at);
      next.keep();
      await new Promise((resolve) => setTimeout(resolve, AFTERMATH));
    }
    this.#goTo(end);
  }

  #goTo(at: number): void {
    this.#ahead.ms += Math.max(0, at - this.now());
  }

  #next(end: number) {
    const [first] = [...this.#appointments].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
    return first;
  }
}
