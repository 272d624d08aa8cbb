import { spawn, type ChildProcess } from 'node:child_process';
import { CLI } from '../support/proxy.js';

/** How one run of the command line ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  /** What comes on standard input. */
  input?: string;
}

/** One run of the command line under way. */
export class Run {
  readonly process: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(args: string[], { env = {}, input = '' }: RunOptions = {}) {
    const child = spawn(process.execPath, [CLI, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // A token of whoever runs the tests is none of theirs.
      env: { ...process.env, MCP_SESSION_PROXY_TOKEN: '', ...env },
    });
    this.process = child;
    child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    child.stdin.on('error', () => {}).end(input);
    this.ended = new Promise((resolve) =>
      child.once('close', (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr })),
    );
  }
}

/** The command line of one config file, as somebody types it. */
export class Shell {
  readonly config: string;
  readonly #options: RunOptions;

  constructor(config: string, options: RunOptions = {}) {
    this.config = config;
    this.#options = options;
  }

  /** The same with another environment. */
  as(token: string): Shell {
    return new Shell(this.config, { env: { MCP_SESSION_PROXY_TOKEN: token } });
  }

  start(...args: string[]): Run {
    return new Run(['sessions', ...withOptions(args, '--config', this.config)], this.#options);
  }

  run(...args: string[]): Promise<Ended> {
    return this.start(...args).ended;
  }

  /** What a command prints, which must succeed. */
  async text(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(`sessions ${args.join(' ')} exited with ${code}: ${stderr}`);
    return stdout.trimEnd();
  }

  /** What a command prints as JSON, which must succeed. */
  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.text(...withOptions(args, '--json'))) as T;
  }
}

/** Options stand before `--`. */
function withOptions(args: string[], ...options: string[]): string[] {
  const at = args.indexOf('--');
  return at < 0 ? [...args, ...options] : [...args.slice(0, at), ...options, ...args.slice(at)];
}
