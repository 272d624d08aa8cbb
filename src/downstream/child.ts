import { mkdirSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { baseEnvironment } from './environment.js';
import { within, type Clock } from '../clock.js';
import type { StopStep } from '../config/recovery.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { redact } from '../secrets.js';
import { markOf } from './process-mark.js';
import { MARKER, newMarker, signalMarked } from './strays.js';
import { isNoRoom } from './patience.js';
import { spawnHere, type ProcessPart, type ServerProcess, type Spawn } from './process.js';

/** Of what a server writes to stderr, the end is kept for error messages. */
const STDERR_KEPT_BYTES = 64 * 1024;
const STDERR_SHOWN_LINES = 5;
const STDERR_SHOWN_CHARS = 1000;

/** An ordered stop, where the config names no other; waits in milliseconds. */
const STOP: readonly ProcessStep[] = [
  { stdin: 'close', wait: 2000 },
  { signal: 'SIGTERM', wait: 3000 },
];

/** What a server leaves behind gets this long to leave, milliseconds. */
const REST_GRACE = 1000;

/** After a process is gone its pipes are read for this long, milliseconds. */
export const PIPES_DRAIN = 100;

export interface ChildOptions {
  server: string;
  /** Of a process beside the server, its name. */
  companion?: string;
  command: string;
  args: string[];
  env: Record<string, string>;
  cwd: string;
  /** What it writes is for this user alone. */
  private?: boolean;
  /** How it is stopped; at the end comes SIGKILL in any case. */
  stop?: readonly ProcessStep[];
  /** Told what it writes to stderr. */
  onwords?: (chunk: Buffer) => void;
  clock: Clock;
  /** Told of every process that starts and ends, so that a later proxy can find what this one left. */
  register: ProcessRegister;
  /** By default a child of this process. */
  spawn?: Spawn;
}

/** One step of an ordered stop. */
export type ProcessStep = Pick<StopStep, 'stdin' | 'signal' | 'wait'> & Partial<Pick<StopStep, 'target'>>;

export interface ProcessRegister {
  /** @param marker in the environment of all that the process starts */
  started(mark: { pid: number; started: string }, marker: string): void;
  ended(mark: { pid: number; started: string }): void;
}

/** A server's process and all it starts: one process group, guarded, stopped in order. */
export class Child {
  /** Resolves with words that complete "the server …" when the process is gone. */
  readonly exited: Promise<string>;
  readonly #options: ChildOptions;
  #process: ServerProcess | undefined;
  #started: Promise<unknown> | undefined;
  /** Takes back a start that waits for its turn. */
  readonly #unwanted = new AbortController();
  #exit: string | undefined;
  #resolveExited: (reason: string) => void = () => {};
  #stderr: Buffer[] = [];
  #stderrBytes = 0;
  #stopping: Promise<void> | undefined;
  #marker = newMarker();

  constructor(options: ChildOptions) {
    this.#options = options;
    this.exited = new Promise((resolve) => (this.#resolveExited = resolve));
  }

  /**
   * Starts the process; no shell looks at its command line.
   * @throws {ProxyError} SERVER_UNAVAILABLE naming the key of the config that is at fault
   */
  start(): Promise<{ stdin: Writable; stdout: Readable }> {
    const started = this.#start();
    this.#started = started.catch(() => {}); // told to whoever started it
    return started;
  }

  async #start(): Promise<{ stdin: Writable; stdout: Readable }> {
    const { server, companion, command, args, cwd, spawn = spawnHere } = this.#options;
    const env = { ...baseEnvironment(), ...this.#options.env, [MARKER]: this.#marker };
    const cannot = (error: unknown) => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      const what = missing ? `the command "${command}" was not found` : messageOf(error);
      const [who, place] =
        companion === undefined
          ? [`Server "${server}"`, `servers.${server}`]
          : [`Companion "${companion}" of server "${server}"`, `servers.${server}.companions.${companion}`];
      const mend = isNoRoom(error)
        ? 'The system has no room for another process: end some, or raise its limits.'
        : `Check ${place}.command and cwd.`;
      const text = `${who} cannot be started: ${what}. ${mend}`;
      return new ProxyError('SERVER_UNAVAILABLE', text, { cause: error });
    };
    let child: ServerProcess;
    try {
      mkdirSync(cwd, { recursive: true, mode: 0o700 });
      const order = { command, args, env, cwd, private: this.#options.private ?? false };
      child = await spawn(order, this.#unwanted.signal);
    } catch (error) {
      this.#ended('could not be started');
      throw cannot(error);
    }
    this.#process = child;
    this.#marker = child.marker; // of a process that another worker started
    const { pid, stdin, stdout, stderr } = child;
    stdin.on('error', (error) => log.downstream.debug({ server }, `stdin: ${error.message}`));
    stdout.on('error', (error) => log.downstream.debug({ server }, `stdout: ${error.message}`));
    stderr.on('error', (error) => log.downstream.debug({ server }, `stderr: ${error.message}`));
    stderr.on('data', (chunk: Buffer) => this.keep(chunk));
    const mark = markOf(pid);
    if (mark) this.#options.register.started(mark, this.#marker);
    void child.exited.then(({ code, signal }) => {
      // Whoever left the group may hold the pipes for ever; what the server itself wrote is read by then.
      setTimeout(() => [stdin, stdout, stderr].forEach((pipe) => pipe.destroy()), PIPES_DRAIN).unref();
      this.#ended(signal ? `was ended by ${signal}` : `exited with code ${code}`);
      this.#endRest(child);
      if (mark) this.#options.register.ended(mark);
    });
    return { stdin, stdout };
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** What the next worker is to know of the process, should this one die. */
  remember(part: ProcessPart, text: string): void {
    this.#process?.remember(part, text);
  }

  /** Exit and last words, in sentences; empty for a server that runs and is silent. */
  diagnosis(): string {
    // Redacted before it is cut: half a secret is not recognised any more.
    const lines = redact(Buffer.concat(this.#stderr).toString('utf8'))
      .split('\n')
      .map(printable)
      .filter(Boolean);
    const shown = lines.slice(-STDERR_SHOWN_LINES).join('\n').slice(-STDERR_SHOWN_CHARS);
    const exit = this.#exit ? ` It ${this.#exit}.` : '';
    return shown ? `${exit} Last lines of its stderr:\n${shown}` : exit;
  }

  /**
   * End of input, then SIGTERM, then SIGKILL to the whole group; resolves when the process is gone.
   * @param force SIGKILL at once
   */
  stop(force = false): Promise<void> {
    if (force) this.#signal('SIGKILL');
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#unwanted.abort();
    await this.#started;
    if (!this.#process?.pid || this.#exit !== undefined) return;
    for (const { stdin, signal, target = 'group', wait } of this.#options.stop ?? STOP) {
      if (stdin) this.#process.stdin.end();
      if (signal) this.#signal(signal, target);
      if (await this.#gone(wait)) return;
    }
    log.downstream.warn(
      { server: this.#options.server, pid: this.pid },
      'The server does not leave when it is asked to; SIGKILL.',
    );
    this.#signal('SIGKILL');
    await this.exited;
  }

  /** Ends what the process left behind, in its group or out of it. */
  #endRest(child: ServerProcess): void {
    this.#signal('SIGTERM');
    const strays = signalMarked([this.#marker], 'SIGTERM');
    if (strays.length === 0 && !this.#groupLives()) return child.forget();
    this.#options.clock.after(REST_GRACE, () => {
      this.#signal('SIGKILL');
      signalMarked([this.#marker], 'SIGKILL');
      child.forget(); // its number may be given out again
    });
  }

  async #gone(ms: number): Promise<boolean> {
    return (await within(this.#options.clock, ms, this.exited)) !== undefined;
  }

  #ended(how: string): void {
    this.#exit ??= how;
    this.#resolveExited(this.#exit);
  }

  #signal(signal: NodeJS.Signals | 0, target: StopStep['target'] = 'group'): boolean {
    const pid = this.#process?.pid;
    if (pid === undefined) return false;
    try {
      return process.kill(process.platform === 'win32' || target === 'process' ? pid : -pid, signal);
    } catch {
      return false; // nobody is left
    }
  }

  #groupLives(): boolean {
    return process.platform !== 'win32' && this.#signal(0);
  }

  /** Keeps what the process wrote for error messages. */
  keep(chunk: Buffer): void {
    this.#options.onwords?.(chunk);
    this.#stderr.push(chunk);
    this.#stderrBytes += chunk.length;
    while (
      this.#stderr.length > 1 &&
      this.#stderrBytes - (this.#stderr[0]?.length ?? 0) >= STDERR_KEPT_BYTES
    ) {
      this.#stderrBytes -= this.#stderr.shift()?.length ?? 0;
    }
  }
}

/** A line as it may be shown: without the control characters that move cursors and forge log lines. */
function printable(line: string): string {
  return line
    .replace(/\x1b\[[0-9;]*[A-Za-z]/g, '')
    .replace(/[\x00-\x1f\x7f]/g, '')
    .trimEnd();
}
