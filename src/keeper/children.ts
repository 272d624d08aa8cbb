import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { guard, release } from '../downstream/guardian.js';
import { spawnPrivately, type Command, type Exit } from '../downstream/process.js';
import { MARKER } from '../downstream/strays.js';
import { pair } from './pair.js';

/** A process the keeper is the parent of, with the ends of its pipes that are passed from worker to worker. */
export interface Child {
  readonly pid: number;
  /** In the environment of all that it starts. */
  readonly marker: string;
  readonly stdio: Socket;
  readonly stderr: Socket;
  exit?: Exit;
}

/**
 * Starts a process in a group of its own, guarded. None of its bytes is read here.
 * @throws as `child_process.spawn`, with the system's code
 */
export async function startChild(order: Command, onexit: (pid: number, exit: Exit) => void): Promise<Child> {
  const { command, args, env, cwd } = order;
  const stdio = await pair();
  const stderr = await pair().catch((error: unknown) => {
    for (const end of [stdio.near, stdio.far]) end.destroy();
    throw error;
  });
  try {
    const ends: Socket[] = [stdio.far, stdio.far, stderr.far];
    const process = spawnPrivately(order, () =>
      spawn(command, args, { cwd, env, stdio: ends, detached: true }),
    );
    process.on('error', () => {}); // also of a later signal, which is too late to matter
    await once(process, 'spawn');
    const { pid } = process;
    if (pid === undefined) throw new Error('it has no number');
    const child: Child = { pid, marker: env[MARKER] ?? '', stdio: stdio.near, stderr: stderr.near };
    guard(pid, child.marker);
    process.once('exit', (code, signal) => onexit(pid, (child.exit = { code, signal })));
    return child;
  } catch (error) {
    for (const { near } of [stdio, stderr]) near.destroy();
    throw error;
  } finally {
    // The child has its own copies: where ours stayed open, nobody would see its end.
    for (const { far } of [stdio, stderr]) far.destroy();
  }
}

/** The process and its group are gone. */
export function forgetChild({ pid, stdio, stderr }: Child): void {
  release(pid);
  stdio.destroy();
  stderr.destroy();
}
