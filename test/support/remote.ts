import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fixture } from './proxy.js';

/** A fixture server over HTTP as a process of its own. */
export class RemoteServer {
  readonly url: string;
  readonly #stop: () => void;

  private constructor(url: string, stop: () => void) {
    this.url = url;
    this.#stop = stop;
  }

  static async start(name: string, args: string[] = []): Promise<RemoteServer> {
    const child = spawn(process.execPath, [fixture(name), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.startsWith('http://')) return new RemoteServer(line, () => child.kill('SIGKILL'));
    }
    throw new Error(`${name} did not say where it listens`);
  }

  /** HTTP methods of all requests so far. */
  async seen(): Promise<string[]> {
    return (await this.#ask('/seen')) as string[];
  }

  /** Calls that were cancelled so far. */
  async cancelled(): Promise<number> {
    return Number(await this.#ask('/cancelled'));
  }

  /** Ids of its sessions. */
  async sessions(): Promise<string[]> {
    return (await this.#ask('/sessions')) as string[];
  }

  /** A log message on each session's own stream. */
  async tell(text: string): Promise<void> {
    await this.#ask(`/tell/${text}`);
  }

  /** The server knows none of its sessions any more. */
  async forget(): Promise<void> {
    await this.#ask('/forget');
  }

  async #ask(path: string): Promise<unknown> {
    const response = await fetch(new URL(path, this.url));
    return response.json();
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
