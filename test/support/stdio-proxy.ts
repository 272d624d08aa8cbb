import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { textOf, type Received } from './client.js';
import { CLI, until, type TemporaryFolder } from './proxy.js';

/** A process with a client on its pipes: `serve --stdio` with the arguments given. */
export class PipeClient {
  readonly process: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout = '';
  stderr = '';

  constructor(args: string[], env = process.env, program = CLI) {
    this.process = spawn(process.execPath, [program, 'serve', '--stdio', ...args], { env });
    this.process.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.process.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.exited = once(this.process, 'exit').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as NodeJS.Signals | null,
    }));
  }

  /** Each line of stdout; throws on one that is no JSON. */
  get messages(): Received[] {
    return this.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Received);
  }

  write(line: string | Uint8Array): void {
    this.process.stdin?.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
  }

  /** The first message not seen before that `matches`. */
  async next(matches: (message: Received) => boolean): Promise<Received> {
    let found: Received | undefined;
    await until(() => (found = this.messages.find(matches)) !== undefined);
    return found ?? {};
  }

  async request(id: string | number, method: string, params = {}): Promise<Received> {
    this.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    return this.next((message) => message.id === id && !message.method);
  }

  async text(id: string | number, tool: string, args = {}): Promise<string> {
    return textOf(await this.request(id, 'tools/call', { name: tool, arguments: args }));
  }

  async initialize(capabilities = {}): Promise<Received> {
    const clientInfo = { name: 'pipe', version: '1' };
    return this.request('init', 'initialize', {
      protocolVersion: '2025-11-25',
      capabilities,
      clientInfo,
    });
  }

  /** Closes the pipe and waits for the end of the process. */
  async end() {
    this.process.stdin?.end();
    return this.exited;
  }

  [Symbol.dispose](): void {
    this.process.kill('SIGKILL');
  }
}

/** The whole proxy as one process, with a client on its pipes. */
export class StdioProxy extends PipeClient {
  constructor(folder: TemporaryFolder, servers: Record<string, unknown>, args: string[] = [], more = {}) {
    const file = folder.file('mcp-proxy.yaml', JSON.stringify({ store: './store.db', servers, ...more }));
    super(['--no-daemon', '--config', file, ...args]);
  }
}
