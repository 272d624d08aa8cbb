import type { Server } from 'node:http';
import type { AddressInfo, Server as NetServer } from 'node:net';
import { Socket } from 'node:net';
import type { Exit, ProcessPart, ServerProcess, Spawn } from '../downstream/process.js';
import type { Remember } from '../downstream/remote-session.js';
import { isId, type Id } from '../protocol/messages.js';
import type { Address, Done, Order, Word } from './messages.js';

const NEWLINE = 0x0a;

/** How long a worker that leaves waits for the rest of a line it has begun to read, milliseconds. */
const REST_OF_LINE = 1000;

/** A process the keeper holds, with what the worker that started it wanted the next one to know. */
export interface Held {
  label: string;
  process: ServerProcess;
  unsent: Id[] | undefined;
}

/** The worker's side of the hand-off. */
export class KeeperLink {
  /** Told when another worker is waiting to take over. */
  onleave: () => void = () => {};
  readonly #children = new Map<number, KeptProcess>();
  readonly #asked = new Map<number, { resolve: (done: Done) => void; reject: (error: Error) => void }>();
  readonly #takers = new Map<string, (socket: Socket) => void>();
  readonly #remembered = new Map<string, string>();
  /** Of those who wait for a new worker: undefined when it takes over, else why it does not. */
  readonly #verdicts: ((problem: string | undefined) => void)[] = [];
  #go: (first: boolean) => void = () => {};
  #lastRequest = 0;

  /** @throws when this process was not forked by a keeper */
  constructor() {
    if (!process.connected) throw new Error('A worker is started by its keeper: mcp-session-proxy serve.');
    process.on('message', (word, handle) =>
      this.#hear(word as Word, handle instanceof Socket ? handle : undefined),
    );
    // Without a keeper nobody could take over; the servers see the end of their input.
    process.once('disconnect', this.#die);
  }

  readonly #die = () => process.exit(1);

  /** This worker cannot start; the process ends with what its error means. */
  giveUp(message: string): void {
    process.off('disconnect', this.#die);
    tell({ order: 'give up', message });
    process.disconnect();
  }

  /**
   * Has a new worker take this one's place.
   * @param program of the new one; by default the present one, as it is on disk now
   * @returns undefined when it takes over, else why it does not and this one goes on
   */
  upgrade(program?: string): Promise<string | undefined> {
    tell({ order: 'upgrade', program });
    return new Promise((resolve) => this.#verdicts.push(resolve));
  }

  /**
   * Says that this worker could take over.
   * @returns when it does: the processes it takes over, what it is to know, and whether it is the first one
   */
  async takeOver(): Promise<{ held: Held[]; remembered: ReadonlyMap<string, string>; first: boolean }> {
    const go = new Promise<boolean>((resolve) => (this.#go = resolve));
    tell({ order: 'loaded' });
    const first = await go;
    const held = [...this.#children.values()].map((process) => {
      const of = (part: ProcessPart) => this.#remembered.get(keyOf(process.pid, part));
      return { process, label: of('label') ?? '', unsent: parseIds(of('unsent')) };
    });
    return { held, remembered: this.#remembered, first };
  }

  /** For the next worker. */
  readonly remember: Remember = (key, text) => tell({ order: 'remember', key, text });

  /** As a child of the keeper. */
  readonly spawn: Spawn = async (command) => {
    const { pid } = await this.#ask((request) => ({ order: 'spawn', request, command }));
    const child = pid === undefined ? undefined : this.#children.get(pid);
    if (!child) throw new Error('its pipes are closed');
    return child;
  };

  /** Has the keeper listen; its connections become the server's. @throws as `net.Server.listen` */
  async listen(
    server: Server | NetServer,
    door: string,
    address: Address,
  ): Promise<AddressInfo | string | null> {
    this.#takers.set(door, (socket) => server.emit('connection', socket));
    // What an HTTP server does when it listens itself: it starts to watch over slow requests.
    server.emit('listening');
    const done = await this.#ask((request) => ({ order: 'listen', request, door, address }));
    return done.address ?? null;
  }

  #ask(order: (request: number) => Order): Promise<Done> {
    const request = ++this.#lastRequest;
    return new Promise((resolve, reject) => {
      this.#asked.set(request, { resolve, reject });
      tell(order(request));
    });
  }

  /** Stops reading what servers say, at the end of a line, so that the next worker reads the rest. */
  async release(): Promise<void> {
    await Promise.all([...this.#children.values()].map((child) => child.release()));
  }

  #hear(word: Word, handle: Socket | undefined): void {
    switch (word.word) {
      case 'child': {
        const { pid, marker } = word;
        if (handle)
          this.#children.set(pid, new KeptProcess(pid, marker, handle, () => this.#children.delete(pid)));
        return;
      }
      case 'stderr': {
        const child = this.#children.get(word.pid);
        if (child && handle) child.stderr = handle;
        return;
      }
      case 'done':
        this.#asked.get(word.request)?.resolve(word);
        return void this.#asked.delete(word.request);
      case 'failed': {
        const { request, code, message } = word;
        this.#asked.get(request)?.reject(Object.assign(new Error(message), { code }));
        return void this.#asked.delete(request);
      }
      case 'exit':
        return this.#children.get(word.pid)?.exit({ code: word.code, signal: word.signal });
      case 'remembered':
        return void this.#remembered.set(word.key, word.text);
      case 'go':
        return this.#go(word.first);
      case 'connection':
        if (handle) this.#takers.get(word.door)?.(handle);
        return tell({ order: 'took', connection: word.connection });
      case 'leave':
        for (const resolve of this.#verdicts.splice(0)) resolve(undefined);
        return this.onleave();
      case 'stay':
        for (const resolve of this.#verdicts.splice(0)) resolve(word.message);
    }
  }
}

/** A process whose parent is the keeper. Its stdin and stdout are one connection. */
class KeptProcess implements ServerProcess {
  readonly pid: number;
  readonly marker: string;
  readonly exited: Promise<Exit>;
  stderr = new Socket();
  exit: (exit: Exit) => void = () => {};
  readonly #stdio: Socket;
  readonly #onforget: () => void;
  #atLineEnd = true;

  constructor(pid: number, marker: string, stdio: Socket, onforget: () => void) {
    this.pid = pid;
    this.marker = marker;
    this.#stdio = stdio;
    this.#onforget = onforget;
    this.exited = new Promise((resolve) => (this.exit = resolve));
    stdio.on('error', () => {}); // before whoever uses it listens: the process may be gone already
    // Not before: the first listener would set it flowing.
    stdio.once('resume', () =>
      stdio.on('data', (chunk: Buffer) => (this.#atLineEnd = chunk.at(-1) === NEWLINE)),
    );
  }

  get stdin(): Socket {
    return this.#stdio;
  }

  get stdout(): Socket {
    return this.#stdio;
  }

  remember(part: ProcessPart, text: string): void {
    tell({ order: 'remember', key: keyOf(this.pid, part), text });
  }

  forget(): void {
    this.#onforget();
    for (const part of ['label', 'unsent'] as const) this.remember(part, '');
    tell({ order: 'forget', pid: this.pid });
  }

  /** Everything was read that was received, and everything sent that was written. */
  get #quiet(): boolean {
    return this.#stdio.readableLength === 0 && this.#stdio.writableLength === 0;
  }

  async release(): Promise<void> {
    const end = Date.now() + REST_OF_LINE;
    while (!(this.#atLineEnd && this.#quiet) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // Our copy: what is not read yet stays for the next one.
    this.#stdio.destroy();
    this.stderr.destroy();
  }
}

function keyOf(pid: number, part: ProcessPart): string {
  return `process ${pid} ${part}`;
}

function parseIds(text: string | undefined): Id[] | undefined {
  const value: unknown = text === undefined ? undefined : JSON.parse(text);
  return Array.isArray(value) ? value.filter(isId) : undefined;
}

function tell(order: Order): void {
  if (process.connected) process.send?.(order);
}
