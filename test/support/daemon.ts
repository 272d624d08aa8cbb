import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stateFolderOf } from '../../src/config/places.js';
import type { ProxyStatus } from '../../src/daemon/words.js';
import { socketIn } from '../../src/daemon/find.js';
import { runs } from './child.js';
import { CLI, TemporaryFolder, until } from './proxy.js';
import { PipeClient } from './stdio-proxy.js';

/** How a command ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A folder with a config, and the daemon that serves it, which is gone with the test. */
export class DaemonHouse implements AsyncDisposable {
  readonly folder = new TemporaryFolder();
  readonly config = join(this.folder.path, 'mcp-proxy.yaml');

  constructor(config: Record<string, unknown>) {
    this.configure(config);
  }

  /** Writes the config file. */
  configure(config: Record<string, unknown> | string): void {
    const text = typeof config === 'string' ? config : JSON.stringify({ store: './store.db', ...config });
    this.folder.file('mcp-proxy.yaml', text);
  }

  /** A client on a pipe. @param program of another installation */
  client(args: string[] = [], program = CLI): PipeClient {
    return new PipeClient(['--config', this.config, ...args], process.env, program);
  }

  get socket(): string {
    return socketIn(stateFolderOf(this.config));
  }

  async run(...args: string[]): Promise<Ended> {
    const child = spawn(process.execPath, [CLI, ...args, '--config', this.config], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended: Ended = { code: null, stdout: '', stderr: '' };
    child.stdout.on('data', (chunk: Buffer) => (ended.stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (ended.stderr += chunk.toString()));
    [ended.code] = (await once(child, 'close')) as [number | null];
    return ended;
  }

  async status(): Promise<ProxyStatus | null> {
    return JSON.parse((await this.run('status', '--json')).stdout) as ProxyStatus | null;
  }

  /** What runs on the config. @throws when nothing does */
  async running(): Promise<ProxyStatus> {
    const status = await this.status();
    if (!status) throw new Error('no daemon runs');
    return status;
  }

  async killWorker(): Promise<void> {
    process.kill((await this.running()).worker, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const status = await this.status();
    if (status) {
      await this.run('stop');
      await until(() => !runs(status.pid) && !runs(status.worker));
    }
    // Whoever was started by this config is gone too.
    const left = execFileSync('ps', ['-A', '-o', 'args='], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(this.config));
    if (left.length > 0) throw new Error(`left behind:\n${left.join('\n')}`);
    this.folder[Symbol.dispose]();
  }
}

/** The program as it would be installed in another version, below a house's folder. @returns its command line */
export function installation({ folder }: DaemonHouse, version: string): string {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const at = (path: string) => join(folder.path, `installed-${version}`, path);
  for (const part of ['dist', 'config']) cpSync(join(root, part), at(part), { recursive: true });
  symlinkSync(join(root, 'node_modules'), at('node_modules'));
  const about = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>;
  writeFileSync(at('package.json'), JSON.stringify({ ...about, version }));
  return at('dist/cli/main.js');
}
