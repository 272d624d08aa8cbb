import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { LineSplitter } from '../protocol/lines.js';

/** Lines are the daemon's affair; this bounds what a broken one costs the shim, bytes. */
const LONGEST_LINE = 256 * 1024 ** 2;

interface Envelope {
  id?: string | number;
  method?: string;
}

/**
 * A client's pipe, carried to the daemon and back. It knows of the messages only what is needed when the daemon's
 * connection breaks: which requests are without an answer, and how the client introduced itself.
 */
export class Shim {
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #session: string;
  readonly #connect: () => Promise<Socket>;
  readonly #open = new Map<string, Envelope>();
  #initialize: Record<string, unknown> | undefined;
  #socket: Socket | undefined;
  #ended = false;
  #reintroductions = 0;

  constructor(input: Readable, output: Writable, session: string, connect: () => Promise<Socket>) {
    this.#input = input;
    this.#output = output;
    this.#session = session;
    this.#connect = connect;
  }

  /** Resolves when the client has closed its end; rejects when no daemon can be had. */
  async run(): Promise<void> {
    const lines = new LineSplitter(LONGEST_LINE, {
      line: (line) => this.#send(line),
      tooLong: () => {},
    });
    this.#socket = await this.#attach();
    this.#input.on('data', (chunk: Buffer) => lines.push(chunk));
    const ended = new Promise<void>((resolve) => {
      this.#input.once('end', resolve);
      this.#input.once('close', resolve);
    });
    ended.then(
      () => {
        this.#ended = true;
        this.#socket?.end();
      },
      () => {},
    );
    while (await this.#serve(this.#socket)) {
      this.#input.pause();
      this.#answerOpen();
      this.#socket = await this.#attach();
      this.#input.resume();
    }
  }

  /** @returns whether the connection broke, when its daemon closes it */
  #serve(socket: Socket): Promise<boolean> {
    const lines = new LineSplitter(LONGEST_LINE, {
      line: (line) => this.#receive(line),
      tooLong: () => {},
    });
    socket.on('data', (chunk) => lines.push(chunk));
    return new Promise((resolve) => {
      socket.once('close', () => resolve(!this.#ended));
    });
  }

  async #attach(): Promise<Socket> {
    const socket = await this.#connect();
    socket.on('error', () => {}); // its end tells
    socket.write(`${JSON.stringify({ want: 'session', session: this.#session })}\n`);
    if (this.#initialize) {
      const id = `shim-${++this.#reintroductions}`;
      socket.write(`${JSON.stringify({ ...this.#initialize, id })}\n`);
      socket.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`);
    }
    return socket;
  }

  /** From the client. */
  #send(line: Buffer): void {
    const message = envelopeOf(line);
    if (message?.id !== undefined && message.method !== undefined) {
      this.#open.set(JSON.stringify(message.id), message);
      if (message.method === 'initialize') this.#initialize = { ...message };
    }
    const flowing = this.#socket?.write(Buffer.concat([line, Buffer.from('\n')]));
    if (flowing !== false) return;
    this.#input.pause();
    this.#socket?.once('drain', () => this.#input.resume());
  }

  /** From the daemon. */
  #receive(line: Buffer): void {
    const message = envelopeOf(line);
    if (message?.id !== undefined && message.method === undefined) {
      if (message.id === `shim-${this.#reintroductions}`) return; // the client has its own answer
      this.#open.delete(JSON.stringify(message.id));
    }
    this.#output.write(Buffer.concat([line, Buffer.from('\n')]));
  }

  /** What was asked over the connection that broke. */
  #answerOpen(): void {
    for (const { id, method } of this.#open.values()) {
      const text =
        'The connection to the proxy broke while the request was under way: the outcome is unknown. Look before you repeat it.';
      const outcome =
        method === 'tools/call'
          ? { result: { content: [{ type: 'text', text }], isError: true } }
          : { error: { code: -32603, message: text } };
      this.#output.write(`${JSON.stringify({ jsonrpc: '2.0', id, ...outcome })}\n`);
    }
    this.#open.clear();
  }
}

function envelopeOf(line: Buffer): Envelope | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // the daemon says what is wrong with it
  }
}
