import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import type { Address } from './messages.js';

/** Connections that wait for a worker; beyond it they are turned away. */
const MAX_WAITING = 1024;

interface Door {
  server: Server;
  /** Where it listens, to tell whether the next worker wants the same. */
  address: string;
  waiting: Socket[];
}

/** The sockets that listen. They outlive workers: who connects between two of them waits, and is not refused. */
export class Doors {
  readonly #doors = new Map<string, Door>();
  /** Passes a connection to the worker. @returns false when there is none to take it */
  readonly #pass: (name: string, socket: Socket) => boolean;

  constructor(pass: (name: string, socket: Socket) => boolean) {
    this.#pass = pass;
  }

  /** Listens, unless it does so already. @throws as `net.Server.listen` */
  async open(name: string, address: Address): Promise<ReturnType<Server['address']>> {
    const known = this.#doors.get(name);
    const wanted = JSON.stringify(address);
    if (known?.address === wanted) return known.server.address();
    const server = createServer({ pauseOnConnect: true, noDelay: true, keepAlive: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address, resolve);
    });
    if (address.path !== undefined) chmodSync(address.path, 0o600);
    known?.server.close();
    const door: Door = { server, address: wanted, waiting: known?.waiting ?? [] };
    this.#doors.set(name, door);
    server.on('connection', (socket) => {
      socket.on('error', () => {}); // the copy that is used tells it
      this.offer(name, socket);
    });
    return server.address();
  }

  /** Passes a connection on, now or to the next worker. */
  offer(name: string, socket: Socket): void {
    if (this.#pass(name, socket)) return;
    const waiting = this.#doors.get(name)?.waiting;
    if (waiting && waiting.length < MAX_WAITING) waiting.push(socket);
    else socket.destroy();
  }

  /** The worker takes connections there. */
  admit(name: string): void {
    for (const socket of this.#doors.get(name)?.waiting.splice(0) ?? []) this.offer(name, socket);
  }

  close(): void {
    for (const { server } of this.#doors.values()) server.close();
  }
}
