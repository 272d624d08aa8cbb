/** Jobs that are done so many at a time, in the order in which they came. */
export class Turns {
  readonly #most: number;
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  /** Whether a job is being done or waits. */
  get busy(): boolean {
    return this.#running > 0;
  }

  async take<T>(job: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) await new Promise<void>((next) => this.#queue.push(next));
    else this.#running += 1;
    try {
      return await job();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
