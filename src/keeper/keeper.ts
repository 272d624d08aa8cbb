import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { guard, release } from '../downstream/guardian.js';
import type { Command } from '../downstream/process.js';
import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import { forgetChild, startChild, type Child } from './children.js';
import { Doors } from './doors.js';
import type { Done, Order, Word } from './messages.js';

/** So many deaths of workers within this time are more than bad luck, milliseconds. */
const MOST_DEATHS = 5;
const DEATHS_WITHIN = 10_000;

/** First wait before a worker that died again is replaced, milliseconds; it doubles. The first is replaced at once. */
const FIRST_WAIT = 100;

/** A worker that has been in charge for so long gets a spare one, which waits to take its place, milliseconds. */
const SPARE_AFTER = 1000;

/** A worker that was told to leave gets this long, milliseconds. */
const LEAVE_TIMEOUT = 10_000;

/** A worker as its keeper sees it. */
interface Worker {
  process: ChildProcess;
  program: string;
  /** Takes over as soon as it can; else when the present one dies. */
  urgent: boolean;
  loaded: boolean;
  leaving: boolean;
  /** Why it cannot start, as far as it said so. */
  problem?: string;
}

export interface KeeperOptions {
  /** The program of the worker, and its arguments. */
  program: string;
  args: string[];
}

/**
 * The parent of worker and servers: it owns what must not die with the worker (the servers' pipes, the sockets that
 * listen) and passes it from one worker to the next. It reads none of it, so it has little to die of.
 */
export class Keeper {
  readonly #args: string[];
  /** Of the worker in charge, and of those that follow it. */
  #program: string;
  readonly #children = new Map<number, Child>();
  readonly #doors = new Doors((door, connection, socket) =>
    this.#say(this.#worker, { word: 'connection', door, connection }, socket),
  );
  /** What each worker tells the next one. It may be as secret as a session at a server: it is never on disk. */
  readonly #memory = new Map<string, string>();
  /** The one in charge. */
  #worker: Worker | undefined;
  /** The one that takes over when it is loaded and nobody is in charge. */
  #next: Worker | undefined;
  /** Whether a worker ever listened: before, its failure is the config's and no accident. */
  #proven = false;
  #deaths: number[] = [];
  #stopping = false;
  #code = 0;
  #stopSpare = () => {};
  #end: (code: number) => void = () => {};

  constructor({ program, args }: KeeperOptions) {
    this.#program = program;
    this.#args = args;
  }

  /** Resolves with the exit code when there is nothing left to keep. */
  run(): Promise<number> {
    this.#fork(true);
    return new Promise((resolve) => (this.#end = resolve));
  }

  /** Has the worker stop in order. */
  stop(): void {
    this.#stopping = true;
    this.#stopSpare();
    this.#next?.process.kill('SIGTERM');
    if (this.#worker) this.#worker.process.kill('SIGTERM');
    else if (!this.#next) this.#end(0);
  }

  /** Puts a new worker, of the program as it is on disk now, in the place of the present one. */
  upgrade(program = this.#program): void {
    if (this.#next?.urgent || this.#stopping) return;
    log.proxy.info('A new worker takes over.');
    const spare = this.#next; // of the program as it was
    this.#fork(true, program);
    spare?.process.kill('SIGKILL');
  }

  #fork(urgent: boolean, program = this.#program): void {
    this.#stopSpare();
    const child = fork(program, this.#args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      // In a group of its own: Ctrl-C is for the keeper, and the guardian can end it should we die.
      detached: true,
    });
    const worker: Worker = { process: child, program, urgent, loaded: false, leaving: false };
    this.#next = worker;
    child.on('message', (order) => void this.#obey(worker, order as Order));
    child.on('error', (error) => {
      log.proxy.error(`The worker cannot be reached: ${error.message}`);
      // One that did not even start tells no exit.
      if (child.pid === undefined) this.#gone(worker, null, null);
    });
    child.once('exit', (code, signal) => {
      const gone = () => this.#gone(worker, code, signal);
      // What it said last may still have to be read.
      if (child.connected) child.once('disconnect', gone);
      else gone();
    });
    if (child.pid !== undefined) guard(child.pid);
  }

  async #obey(worker: Worker, order: Order): Promise<void> {
    switch (order.order) {
      case 'loaded':
        worker.loaded = true;
        if (worker !== this.#next) return;
        if (!this.#worker) return this.#promote();
        return worker.urgent ? this.#dismiss(this.#worker) : undefined;
      case 'spawn':
        return this.#answer(worker, order.request, () => this.#start(worker, order.command));
      case 'listen':
        return this.#answer(worker, order.request, async () => {
          const address = await this.#doors.open(order.door, order.address);
          this.#proven = true;
          return { address };
        });
      case 'remember':
        if (order.text === '') this.#memory.delete(order.key);
        else this.#memory.set(order.key, order.text);
        return;
      case 'upgrade':
        return this.upgrade(order.program);
      case 'give up':
        return void (worker.problem = order.message);
      case 'took':
        return this.#doors.took(order.connection);
      case 'forget': {
        const child = this.#children.get(order.pid);
        if (child) forgetChild(child);
        this.#children.delete(order.pid);
      }
    }
  }

  async #answer(worker: Worker, request: number, job: () => Promise<Done>): Promise<void> {
    try {
      this.#say(worker, { word: 'done', request, ...(await job()) });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      this.#say(worker, { word: 'failed', request, code, message: messageOf(error) });
    }
  }

  async #start(worker: Worker, command: Command): Promise<Done> {
    const child = await startChild(command, (pid, exit) =>
      // Without a worker the next one is told when it comes.
      this.#say(this.#worker, { word: 'exit', pid, ...exit }),
    );
    if (worker !== this.#worker) {
      // Whoever wanted it is gone, and nobody else knows what for.
      process.kill(-child.pid, 'SIGKILL');
      forgetChild(child);
      throw new Error('its worker is gone');
    }
    this.#children.set(child.pid, child);
    this.#show(worker, child);
    return { pid: child.pid };
  }

  /** The worker that waits takes over: it gets everything that is held. */
  #promote(): void {
    const worker = this.#next;
    if (!worker?.loaded) return;
    this.#next = undefined;
    this.#worker = worker;
    this.#program = worker.program;
    for (const child of this.#children.values()) this.#show(worker, child);
    for (const [key, text] of this.#memory) this.#say(worker, { word: 'remembered', key, text });
    this.#say(worker, { word: 'go', first: !this.#proven });
    const timer = setTimeout(() => this.#next ?? this.#fork(false), SPARE_AFTER);
    this.#stopSpare = () => clearTimeout(timer);
  }

  #dismiss(worker: Worker): void {
    worker.leaving = true;
    this.#doors.shut();
    this.#say(worker, { word: 'leave' });
    setTimeout(() => worker.process.kill('SIGKILL'), LEAVE_TIMEOUT).unref();
  }

  #show(worker: Worker, { pid, marker, stdio, stderr, exit }: Child): void {
    this.#say(worker, { word: 'child', pid, marker }, stdio);
    this.#say(worker, { word: 'stderr', pid }, stderr);
    if (exit) this.#say(worker, { word: 'exit', pid, ...exit });
  }

  #say(worker: Worker | undefined, word: Word, handle?: Socket): void {
    // A worker that cannot be told any more is about to be buried; the next one is told everything.
    if (worker?.process.connected) worker.process.send(word, handle, { keepOpen: true }, () => {});
  }

  #gone(worker: Worker, code: number | null, signal: NodeJS.Signals | null): void {
    if (worker.process.pid !== undefined) release(worker.process.pid);
    const exit = code === null ? 'could not be started' : `exited with code ${code}`;
    const how = signal ? `was ended by ${signal}` : exit;
    const [inCharge, wasNext] = [worker === this.#worker, worker === this.#next];
    if (inCharge) this.#worker = undefined;
    if (wasNext) this.#next = undefined;
    if (this.#stopping) {
      if (inCharge) this.#code = code ?? 1;
      return this.#worker || this.#next ? undefined : this.#finish(this.#code);
    }
    if (!inCharge && !wasNext) return; // a spare one that was not needed
    // What it said about its config is on stderr; no repetition mends that.
    if (!this.#proven && code !== null) return this.#finish(code);
    if (inCharge) this.#doors.takeBack();
    if (wasNext && this.#worker) {
      log.proxy.warn(`The new worker ${how}; the present one goes on.`);
      return this.#say(this.#worker, { word: 'stay', message: worker.problem ?? `The new worker ${how}.` });
    }
    if (worker.leaving && this.#next) return this.#promote();
    this.#replace(how);
  }

  #replace(how: string): void {
    const now = Date.now();
    this.#deaths = [...this.#deaths.filter((at) => at > now - DEATHS_WITHIN), now];
    const deaths = this.#deaths.length;
    if (deaths >= MOST_DEATHS) {
      log.proxy.fatal(
        `The worker ${how}, as ${deaths - 1} before it within ${DEATHS_WITHIN / 1000} s: giving up. ` +
          'What it wrote before this line tells why; sessions are kept in the store for the next start.',
      );
      return this.#finish(1);
    }
    log.proxy.error(`The worker ${how}; the servers go on under the next one.`);
    if (this.#next) return this.#promote(); // or as soon as it is loaded
    setTimeout(
      () => {
        if (!this.#next && !this.#stopping) this.#fork(true);
      },
      deaths === 1 ? 0 : FIRST_WAIT * 2 ** (deaths - 2),
    );
  }

  #finish(code: number): void {
    this.#doors.close();
    this.#end(code);
  }
}
