import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { guard, release } from './guardian.js';
import { MARKER } from './strays.js';

/** What a process is started with; no shell looks at it. */
export interface Command {
  command: string;
  args: string[];
  /** Its whole environment. */
  env: Record<string, string>;
  cwd: string;
  /** Files it makes are for this user alone. */
  private: boolean;
}

/** How a process ended. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/**
 * What is remembered of a process: who it is to us, and, while the system has not taken all that was written to it, the
 * ids of the requests that it may not have whole, as JSON.
 */
export type ProcessPart = 'label' | 'unsent';

/** A running process that leads a group of its own, whoever its parent is. */
export interface ServerProcess {
  readonly pid: number;
  /** In the environment of all that it starts. */
  readonly marker: string;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<Exit>;
  /** What the next worker is to know of it, should this one die; nothing where no other comes. */
  remember(part: ProcessPart, text: string): void;
  /** Its group is gone: nobody guards it any more. */
  forget(): void;
}

/**
 * Starts a process, guarded from its start.
 * @param signal given when it is not wanted any more
 * @throws as `child_process.spawn`, with the system's code
 */
export type Spawn = (command: Command, signal?: AbortSignal) => Promise<ServerProcess>;

/** As a child of this very process. */
export const spawnHere: Spawn = async (command) => {
  const child = spawnPrivately(command, () =>
    spawn(command.command, command.args, {
      cwd: command.cwd,
      env: command.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: process.platform !== 'win32',
      windowsHide: true,
    }),
  );
  const exited = new Promise<Exit>((resolve) => {
    // 'exit', not 'close': a grandchild may hold the pipes open for ever.
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.on('error', reject); // also of a later signal, which is too late to matter
  });
  // Not before: one that could not be started for want of descriptors has no pipes.
  const { stdin, stdout, stderr } = child;
  // A child that is gone at once must not end the proxy with EPIPE; whoever uses the pipes hears of it too.
  for (const pipe of [stdin, stdout, stderr]) pipe.on('error', () => {});
  const { pid } = child;
  if (pid === undefined) throw new Error('it has no number');
  const marker = command.env[MARKER] ?? '';
  guard(pid, marker);
  return { pid, marker, stdin, stdout, stderr, exited, remember: () => {}, forget: () => release(pid) };
};

/** A process inherits the mask of whoever starts it, and there is no other way to give it one. */
export function spawnPrivately<T>(command: Pick<Command, 'private'>, start: () => T): T {
  if (!command.private) return start();
  const before = process.umask(0o077);
  try {
    return start();
  } finally {
    process.umask(before);
  }
}
