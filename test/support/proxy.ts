import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built command line, as a user runs it. */
export const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Path of a fixture server. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../fixtures/${name}.mjs`, import.meta.url));
}

/** Config entry of a fixture server on stdio. */
export function local(name: string, more: Record<string, unknown> = {}, args: string[] = []) {
  return { command: process.execPath, args: [fixture(name), ...args], ...more };
}

/** A folder of its own, gone with the test. */
export class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'msp-test-'));

  file(name: string, content: string): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface ProxyProcessOptions {
  /** Arguments besides `serve --config FILE --http 127.0.0.1:0`. */
  args?: string[];
  env?: Record<string, string>;
  /** Runs as that user. */
  uid?: number;
}

/** The whole proxy as a process of its own, over HTTP. */
export class ProxyProcess {
  readonly url: string;
  readonly process: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #output: { text: string };

  private constructor(url: string, process: ChildProcess, output: { text: string }) {
    this.url = url;
    this.process = process;
    this.#output = output;
    this.exited = new Promise((resolve) =>
      process.once('exit', (code, signal) => {
        resolve({ code, signal });
      }),
    );
  }

  /** @param config of the proxy; `store` lies in `folder` unless it is given */
  static async start(
    folder: TemporaryFolder,
    config: Record<string, unknown>,
    { args = [], env = {}, uid }: ProxyProcessOptions = {},
  ): Promise<ProxyProcess> {
    const file = folder.file('mcp-proxy.yaml', JSON.stringify({ store: './store.db', ...config }));
    const child = spawn(
      process.execPath,
      [CLI, 'serve', '--config', file, '--http', '127.0.0.1:0', ...args],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, ...env },
        ...(uid === undefined ? {} : { uid, gid: uid }),
      },
    );
    const output = { text: '' };
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        output.text += chunk.toString();
        const [found] = /http:\/\/\S+/.exec(output.text.split('listening on ')[1] ?? '') ?? [];
        if (found) resolve(found);
      });
      child.once('exit', (code) => {
        reject(new Error(`the proxy exited with ${code}:\n${output.text}`));
      });
    });
    return new ProxyProcess(url, child, output);
  }

  get pid(): number {
    if (this.process.pid === undefined) throw new Error('the proxy has no pid');
    return this.process.pid;
  }

  /** Everything on stderr so far. */
  get stderr(): string {
    return this.#output.text;
  }

  /** SIGTERM and its end. */
  async stop() {
    this.process.kill('SIGTERM');
    return this.exited;
  }

  /** SIGKILL and its end. */
  async kill() {
    this.process.kill('SIGKILL');
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.stop();
  }
}

/** Whether a process of that number runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when `check` holds; looks every few milliseconds, and the test's own time limit ends the wait. */
export async function until(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await new Promise((resolve) => setTimeout(resolve, 10));
}
