import { Hands, type Clock } from '../../src/clock.js';

/** A clock whose hands the test turns. */
export class ManualClock extends Hands implements Clock {
  readonly #at: { wall: number; steady: number };
  #appointments: { at: number; run: () => void }[] = [];

  constructor() {
    const at = { wall: Date.UTC(2026, 0, 1), steady: 0 };
    super(
      () => at.wall,
      () => at.steady,
    );
    this.#at = at;
  }

  after(ms: number, run: () => void): () => void {
    const appointment = { at: this.#at.steady + Math.max(ms, 0), run };
    this.#appointments.push(appointment);
    return () => {
      this.#appointments = this.#appointments.filter((other) => other !== appointment);
    };
  }

  /** Time goes by, and every appointment on the way is kept in its turn, also those that follow from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#at.steady + ms;
    for (let next = this.#next(); next && next.at <= end; next = this.#next()) {
      this.jump(Math.max(0, next.at - this.#at.steady));
      this.#appointments = this.#appointments.filter((other) => other !== next);
      next.run();
      await new Promise(setImmediate);
    }
    this.jump(Math.max(0, end - this.#at.steady));
  }

  /** The process was held up: time has gone by, and no appointment has been kept yet. */
  jump(ms: number): void {
    this.#at.wall += ms;
    this.#at.steady += ms;
  }

  /** The system's clock is set, or the machine slept: for the process no time has gone by. */
  set(ms: number): void {
    this.#at.wall += ms;
  }

  /** How many appointments are still to come. */
  get pending(): number {
    return this.#appointments.length;
  }

  /** The earliest; of two at one time the one made first. */
  #next(): { at: number; run: () => void } | undefined {
    return this.#appointments.reduce<{ at: number; run: () => void } | undefined>(
      (earliest, one) => (earliest && earliest.at <= one.at ? earliest : one),
      undefined,
    );
  }
}
