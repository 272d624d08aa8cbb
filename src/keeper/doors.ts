import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { TCP_OPTIONS } from '../protocol/tcp.js';
import type { Address } from './messages.js';

/** Connections that wait for a worker; beyond it they are turned away. */
const MAX_WAITING = 1024;

interface Door {
  server: Server;
  /** Where it listens, to tell whether the next worker wants the same. */
  address: string;
  /** Whether there is a worker that takes connections there. */
  open: boolean;
  waiting: Socket[];
}

/** The sockets that listen. They outlive workers: who connects between two of them waits, and is not refused. */
export class Doors {
  readonly #doors = new Map<string, Door>();
  /** Connections on their way to a worker, by number. Should it die over them, they are the next one's. */
  readonly #underway = new Map<number, { door: string; socket: Socket }>();
  readonly #pass: (door: string, connection: number, socket: Socket) => void;
  #connections = 0;

  /** @param pass sends a connection to the worker, which says when it took it */
  constructor(pass: (door: string, connection: number, socket: Socket) => void) {
    this.#pass = pass;
  }

  /** Listens, unless it does so already, and passes on who comes and who came. @throws as `net.Server.listen` */
  async open(name: string, address: Address): Promise<ReturnType<Server['address']>> {
    let door = this.#doors.get(name);
    const wanted = JSON.stringify(address);
    if (door?.address !== wanted) {
      const server = createServer({ pauseOnConnect: true, ...TCP_OPTIONS });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(address, resolve);
      });
      if (address.path !== undefined) chmodSync(address.path, 0o600);
      door?.server.close();
      door = { server, address: wanted, open: true, waiting: door?.waiting ?? [] };
      this.#doors.set(name, door);
      server.on('connection', (socket) => {
        socket.on('error', () => {}); // the copy that is used tells it
        this.#offer(name, socket);
      });
    }
    door.open = true;
    for (const socket of door.waiting.splice(0)) this.#offer(name, socket);
    return door.server.address();
  }

  #offer(name: string, socket: Socket): void {
    const door = this.#doors.get(name);
    if (door?.open) {
      const connection = ++this.#connections;
      this.#underway.set(connection, { door: name, socket });
      this.#pass(name, connection, socket);
    } else if (door && door.waiting.length < MAX_WAITING) door.waiting.push(socket);
    else socket.destroy();
  }

  /** The worker has its own copy now. */
  took(connection: number): void {
    this.#underway.get(connection)?.socket.destroy();
    this.#underway.delete(connection);
  }

  /** Who connects from now on waits for the next worker. */
  shut(): void {
    for (const door of this.#doors.values()) door.open = false;
  }

  /** The worker is gone: what it did not take waits too. */
  takeBack(): void {
    this.shut();
    for (const { door, socket } of this.#underway.values()) this.#offer(door, socket);
    this.#underway.clear();
  }

  close(): void {
    for (const { server } of this.#doors.values()) server.close();
  }
}
