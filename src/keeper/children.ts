import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { guard, release } from '../downstream/guardian.js';
import { spawnPrivately, type Command, type Exit } from '../downstream/process.js';
import { MARKER } from '../downstream/strays.js';
import { pair } from './pair.js';

/** A process the keeper is the parent of, with the ends of its pipes that are passed from worker to worker. */
export interface HeldChild {
  readonly pid: number;
  /** In the environment of all that it starts. */
  readonly marker: string;
  readonly stdio: Socket;
  readonly stderr: Socket;
  exit: Exit | undefined;
}

/** The servers' processes. None of their bytes is read here. */
export class Children {
  readonly #held = new Map<number, HeldChild>();
  readonly #onexit: (child: HeldChild, exit: Exit) => void;

  constructor(onexit: (child: HeldChild, exit: Exit) => void) {
    this.#onexit = onexit;
  }

  [Symbol.iterator](): IterableIterator<HeldChild> {
    return this.#held.values();
  }

  /** Starts a process in a group of its own. @throws as `child_process.spawn`, with the system's code */
  async start(order: Command): Promise<HeldChild> {
    const { command, args, env, cwd } = order;
    const [stdio, stderr] = [await pair(), await pair()];
    const close = () => [stdio, stderr].forEach(({ near }) => near.destroy());
    try {
      const ends: Socket[] = [stdio.far, stdio.far, stderr.far];
      const process = spawnPrivately(order, () =>
        spawn(command, args, { cwd, env, stdio: ends, detached: true }),
      );
      process.on('error', () => {}); // also of a later signal, which is too late to matter
      await once(process, 'spawn');
      const { pid } = process;
      if (pid === undefined) throw new Error('it has no number');
      const marker = env[MARKER] ?? '';
      guard(pid, marker);
      const child: HeldChild = {
        pid,
        marker,
        stdio: stdio.near,
        stderr: stderr.near,
        exit: undefined,
      };
      this.#held.set(pid, child);
      process.once('exit', (code, signal) => this.#onexit(child, (child.exit = { code, signal })));
      return child;
    } catch (error) {
      close();
      throw error;
    } finally {
      // The child has its own copies: where ours stayed open, nobody would see its end.
      for (const { far } of [stdio, stderr]) far.destroy();
    }
  }

  /** The process and its group are gone. */
  forget(pid: number): void {
    const child = this.#held.get(pid);
    if (!child) return;
    this.#held.delete(pid);
    release(pid);
    child.stdio.destroy();
    child.stderr.destroy();
  }
}
