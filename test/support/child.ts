import type { Readable, Writable } from 'node:stream';
import { createInterface } from 'node:readline';
import { Child, type ChildOptions } from '../../src/downstream/child.js';
import { markOf } from '../../src/downstream/process-mark.js';
import { ManualClock } from './clock.js';
import { fixture, TemporaryFolder, until } from './proxy.js';

/** Lines of a stream, one at a time; undefined when there are no more. */
export class Lines {
  readonly #lines: AsyncIterator<string>;

  constructor(input: Readable) {
    this.#lines = createInterface({ input })[Symbol.asyncIterator]();
  }

  async next(): Promise<string | undefined> {
    const { value, done } = (await this.#lines.next()) as IteratorResult<string, undefined>;
    return done ? undefined : value;
  }
}

/** A fixture as a child process, with the hands of its clock in the test's hands. */
export class RunningChild implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly child: Child;
  readonly started: { pid: number; started: string }[] = [];
  readonly ended: { pid: number; started: string }[] = [];
  readonly #folder = new TemporaryFolder();
  #stdin: Writable | undefined;
  #lines: Lines | undefined;

  constructor(name: string, args: string[] = [], options: Partial<ChildOptions> = {}) {
    this.child = new Child({
      server: 'one',
      command: process.execPath,
      args: [fixture(name), ...args],
      env: {},
      cwd: this.#folder.path,
      clock: this.clock,
      register: {
        started: (mark) => this.started.push(mark),
        ended: (mark) => this.ended.push(mark),
      },
      ...options,
    });
  }

  static async start(name: string, args: string[] = [], options: Partial<ChildOptions> = {}) {
    const running = new RunningChild(name, args, options);
    const { stdin, stdout } = await running.child.start();
    running.#stdin = stdin;
    running.#lines = new Lines(stdout);
    return running;
  }

  get folder(): string {
    return this.#folder.path;
  }

  get stdin(): Writable {
    if (!this.#stdin) throw new Error('it was not started');
    return this.#stdin;
  }

  async line(): Promise<string | undefined> {
    return this.#lines?.next();
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('it has no pid');
    return this.child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this.child;
    if (pid !== undefined) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // it is gone
      }
      await until(() => !runs(pid));
    }
    this.#folder[Symbol.dispose]();
  }
}

/** Whether a process runs; one that is dead and only not yet buried does not. */
export function runs(pid: number): boolean {
  return markOf(pid) !== undefined;
}
