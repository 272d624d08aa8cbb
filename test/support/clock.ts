import type { Clock } from '../../src/clock.js';

/** A clock whose hands the test turns. */
export class ManualClock implements Clock {
  #now = Date.UTC(2026, 0, 1);
  #appointments: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const appointment = { at: this.#now + Math.max(ms, 0), run };
    this.#appointments.push(appointment);
    return () => {
      this.#appointments = this.#appointments.filter((other) => other !== appointment);
    };
  }

  /** Time goes by, and every appointment on the way is kept in its turn, also those that follow from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let next = this.#next(); next && next.at <= end; next = this.#next()) {
      this.#now = Math.max(this.#now, next.at);
      this.#appointments = this.#appointments.filter((other) => other !== next);
      next.run();
      await new Promise(setImmediate);
    }
    this.#now = end;
  }

  /** The machine slept: time has gone by, and no appointment has been kept yet. */
  jump(ms: number): void {
    this.#now += ms;
  }

  /** The system's clock is set: no time has gone by, and appointments are as far away as before. */
  set(ms: number): void {
    this.#now += ms;
    for (const appointment of this.#appointments) appointment.at += ms;
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
