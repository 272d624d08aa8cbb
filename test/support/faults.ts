/**
 * How much of the fault suite runs: 1 for all of it (`npm run test:faults`), a tenth beside the other tests. Read here
 * and nowhere else.
 */
const FACTOR = Number(process.env.FAULT_ROUNDS ?? 0.1);

/** How often something is done that is done `whole` times in the whole suite; at least once. */
export function rounds(whole: number): number {
  return Math.max(1, Math.round(whole * FACTOR));
}

/** Numbers that look random and come again with the same seed; FAULT_SEED gives the one of a run that failed. */
export class Dice {
  readonly seed: number;
  #state: number;

  constructor(seed = Number(process.env.FAULT_SEED ?? Date.now() % 1_000_000)) {
    this.seed = seed;
    this.#state = seed;
  }

  /** A whole number from 0 to below `sides`. */
  roll(sides: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.roll(from.length)];
    if (picked === undefined) throw new Error('there is nothing to pick from');
    return picked;
  }
}

/** One line on what a run did, for whoever reads its output. */
export function tell(what: string, numbers: Record<string, unknown>): void {
  const text = Object.entries(numbers).map(([name, value]) => `${name} ${String(value)}`);
  console.log(`${what}: ${text.join(', ')}`);
}
