import { createServer, type Server, type Socket } from 'node:net';
import { log } from '../logger.js';
import { readHello, type DaemonStatus } from './hello.js';

/** A daemon without a client and without a running server leaves after this long, milliseconds. */
const IDLE = 10 * 60_000;
const LOOK_EVERY = 30_000;

export interface DaemonOptions {
  version: string;
  /** Serves MCP on a connection until its client closes it. */
  serve: (socket: Socket, session: string) => Promise<void>;
  /** Sessions with running servers. */
  running: () => Promise<number>;
  /** The whole program is to end. */
  stop: () => void;
}

/** What shims talk to: each connection is one client, attached to the session that it names. */
export class Daemon {
  readonly server: Server;
  readonly #options: DaemonOptions;
  readonly #clients = new Set<Socket>();
  #idleSince = Date.now();

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.server = createServer((socket) => void this.#receive(socket));
    setInterval(() => void this.#look(), LOOK_EVERY).unref();
  }

  async #receive(socket: Socket): Promise<void> {
    socket.on('error', (error) => log.proxy.debug(error.message));
    const hello = await readHello(socket);
    switch (hello?.want) {
      case 'session':
        return this.#serve(socket, hello.session);
      case 'status': {
        const { version, running } = this.#options;
        const status: DaemonStatus = {
          version,
          pid: process.ppid,
          clients: this.#clients.size,
          sessions: await running(),
        };
        return void socket.end(`${JSON.stringify(status)}\n`);
      }
      case 'stop':
        socket.end('{}\n');
        return this.#options.stop();
      default:
        return void socket.destroy();
    }
  }

  async #serve(socket: Socket, session: string): Promise<void> {
    this.#clients.add(socket);
    await this.#options.serve(socket, session);
    this.#clients.delete(socket);
    this.#idleSince = Date.now();
    socket.end();
  }

  async #look(): Promise<void> {
    if (this.#clients.size > 0 || (await this.#options.running()) > 0) this.#idleSince = Date.now();
    if (Date.now() - this.#idleSince < IDLE) return;
    log.proxy.info('Nobody needs the daemon.');
    this.#options.stop();
  }
}
