import type { Clock } from '../clock.js';
import type { ServerConfig } from '../config/schema.js';
import { formatDuration } from '../config/units.js';

/** How often a running server is looked at, milliseconds. */
const LOOK_EVERY = 5000;

export interface UpkeepOptions {
  clock: Clock;
  config: ServerConfig;
  /** Bytes that the server's processes hold, where the system tells. */
  memory: () => number | undefined;
  /** Whether a call is under way or waits. */
  busy: () => boolean;
  /** Saves what calls left unsaved. */
  save: () => Promise<void>;
  /** @param reason completes "the server …" */
  replace: (reason: string) => void;
}

/** What a running server needs now and then: its state saved, and its process replaced when that is due. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #startedAt = 0;
  #usedAt = 0;
  /** Why it is to be replaced as soon as nothing runs. */
  #due: string | undefined;
  #stops: (() => void)[] = [];

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** A server runs. */
  begin(): void {
    const { clock, config } = this.#options;
    this.#startedAt = this.#usedAt = clock.steady();
    this.#due = undefined;
    const { age, memory, idle } = config.recycle;
    const bounds = [age, idle, memory === undefined ? undefined : LOOK_EVERY].filter(
      (one) => one !== undefined,
    );
    if (bounds.length > 0) this.#repeat(Math.min(LOOK_EVERY, ...bounds), () => this.#look());
    const every = config.checkpoint?.every;
    if (every !== undefined) this.#repeat(every, () => void this.#options.save());
  }

  /** It runs no more. */
  end(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  /** A call has ended. */
  used(): void {
    this.#usedAt = this.#options.clock.steady();
    if (this.#due !== undefined) this.#replaceWhenFree();
  }

  #repeat(ms: number, job: () => void): void {
    let stop: () => void = () => {};
    const next = () => {
      stop = this.#options.clock.after(ms, () => {
        next();
        job();
      });
    };
    next();
    this.#stops.push(() => stop());
  }

  #look(): void {
    this.#due ??= this.#reason();
    if (this.#due !== undefined) this.#replaceWhenFree();
  }

  #replaceWhenFree(): void {
    const due = this.#due;
    if (due === undefined || this.#options.busy()) return;
    this.#due = undefined;
    this.#options.replace(due);
  }

  #reason(): string | undefined {
    const { clock, config } = this.#options;
    const { age, memory, idle } = config.recycle;
    const now = clock.steady();
    if (age !== undefined && now - this.#startedAt >= age) {
      return `was stopped because it had run for ${formatDuration(age)} (recycle.age)`;
    }
    if (idle !== undefined && !this.#options.busy() && now - this.#usedAt >= idle) {
      return `was stopped because it had been idle for ${formatDuration(idle)} (recycle.idle)`;
    }
    const held = memory === undefined ? undefined : this.#options.memory();
    if (memory === undefined || held === undefined || held < memory) return undefined;
    const mebibytes = (bytes: number) => `${Math.round(bytes / 1024 ** 2)} MiB`;
    return `was stopped because it held ${mebibytes(held)} of memory, over ${mebibytes(memory)} (recycle.memory)`;
  }
}
