import { isUtf8 } from 'node:buffer';
import type { Writable } from 'node:stream';
import { ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { redact } from '../secrets.js';
import { LineSplitter } from '../protocol/lines.js';
import { isRequest, toMessage, type Id, type Message } from '../protocol/messages.js';
import { Child, PIPES_DRAIN, type ChildOptions } from './child.js';
import type { Transport } from './types.js';

/** A server that does not read its input may keep this many bytes waiting; then it is busy. */
const MAX_UNREAD_BYTES = 8 * 1024 ** 2;

/** Lines that are no messages are logged, the first few of each server. */
const MAX_LOGGED_NOISE = 20;

export interface StdioOptions extends ChildOptions {
  maxMessage: number;
  /** An earlier process wrote to it, these requests perhaps not whole. */
  held?: { unsent: readonly Id[] | undefined };
}

/** MCP over the pipes of a child process: one JSON-RPC message a line. */
export class StdioTransport implements Transport {
  onmessage: Transport['onmessage'] = () => {};
  onfailed: Transport['onfailed'] = () => {};
  onclose: Transport['onclose'] = () => {};
  readonly #child: Child;
  readonly #server: string;
  readonly #lines: LineSplitter;
  #stdin: Writable | undefined;
  #noise = 0;
  #started: Promise<void> | undefined;
  readonly #held: StdioOptions['held'];
  /** Requests that the system has not taken whole; undefined when it has taken all that was written. */
  #unsent: Id[] | undefined;
  /** Whether the next line may be the rest of one whose beginning an earlier process has read. */
  #torn: boolean;

  constructor(options: StdioOptions) {
    this.#child = new Child(options);
    this.#server = options.server;
    this.#held = options.held;
    this.#torn = options.held !== undefined;
    this.#lines = new LineSplitter(options.maxMessage, {
      line: (line) => this.#receive(line),
      tooLong: (head, tail, length) =>
        this.#fail(
          `${head.toString('latin1')}…${tail.toString('latin1')}`,
          `a message of ${length} bytes, over its limit "maxMessage"`,
        ),
    });
  }

  /** Idempotent: one process may be asked in both eras. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  async #start(): Promise<void> {
    const { stdin, stdout } = await this.#child.start();
    this.#stdin = stdin;
    if (this.#held?.unsent) this.#endTornLine(stdin, this.#held.unsent);
    stdout.on('data', (chunk: Buffer) => this.#lines.push(chunk));
    // What the server wrote before it left is read before its end is told.
    const drained = new Promise<void>((resolve) => {
      stdout.once('close', resolve);
      stdout.once('end', resolve);
      void this.#child.exited.then(() => setTimeout(resolve, PIPES_DRAIN).unref());
    });
    void Promise.all([this.#child.exited, drained]).then(([reason]) => this.onclose(reason));
  }

  send(message: Message): Promise<void> {
    const stdin = this.#stdin;
    if (!stdin?.writable) {
      const text = `Server "${this.#server}" takes no more messages.${this.diagnosis()}`;
      const details = { unsent: true };
      return Promise.reject(new ProxyError('SERVER_UNAVAILABLE', text, { details }));
    }
    if (stdin.writableLength > MAX_UNREAD_BYTES) {
      const text = `Server "${this.#server}" does not read its input: ${stdin.writableLength} bytes wait. Try again later.`;
      return Promise.reject(new ProxyError('SERVER_BUSY', text));
    }
    stdin.write(`${JSON.stringify(message)}\n`, this.#written);
    if (stdin.writableLength > 0) {
      this.#unsent ??= [];
      if (isRequest(message)) this.#unsent.push(message.id);
      this.#child.remember('unsent', JSON.stringify(this.#unsent));
    }
    return Promise.resolve();
  }

  readonly #written = () => {
    if (!this.#unsent || this.#stdin?.writableLength !== 0) return;
    this.#unsent = undefined;
    this.#child.remember('unsent', '');
  };

  /** A line that broke off with an earlier process is ended, or it would spoil the next one. */
  #endTornLine(stdin: Writable, ids: readonly Id[]): void {
    this.#unsent = [];
    stdin.write('\n', this.#written);
    for (const id of ids) {
      const text = `The proxy was restarted while it wrote the request to server "${this.#server}": the outcome is unknown.`;
      this.onfailed(id, new ProxyError('OUTCOME_UNKNOWN', text));
    }
  }

  initialized(): Promise<void> {
    return Promise.resolve();
  }

  diagnosis(): string {
    const noise = this.#noise > 0 ? ` It wrote ${this.#noise} lines to stdout that are no MCP messages.` : '';
    return noise + this.#child.diagnosis();
  }

  label(text: string): void {
    this.#child.remember('label', text);
  }

  close(force?: boolean): Promise<void> {
    return this.#child.stop(force);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  #receive(line: Buffer): void {
    const text = line.toString('utf8');
    if (!isUtf8(line)) return this.#fail(text, 'invalid UTF-8');
    let message: Message;
    try {
      message = toMessage(JSON.parse(text));
    } catch (error) {
      return this.#fail(text, error instanceof ProxyError ? error.message : 'a line that is no JSON');
    }
    this.#torn = false;
    this.onmessage(message);
  }

  /** Passes over what cannot be understood; if it names a request, that one fails instead of waiting for ever. */
  #fail(text: string, what: string): void {
    this.#noise += 1;
    if (this.#noise <= MAX_LOGGED_NOISE) {
      log.downstream.warn(
        { server: this.#server, line: redact(text).slice(0, 200) },
        `The server wrote ${what}; passed over.`,
      );
    }
    const id = answeredId(text);
    const torn = this.#torn;
    this.#torn = false;
    if (id === undefined && !torn) return;
    const failure = new ProxyError(
      'OUTCOME_UNKNOWN',
      `Server "${this.#server}" answered with ${what}. Whether the request took effect is unknown.`,
    );
    this.onfailed(id, failure);
  }
}

/**
 * Servers write the id first or last; our own ids are plain numbers, or those of `ModernConnection`. A wrong guess names
 * no request and does nothing.
 */
function answeredId(text: string): Id | undefined {
  if (/"method"\s*:/.test(text.slice(0, 200))) return undefined;
  const found =
    /^\s*\{[^{[]*?"id"\s*:\s*("proxy-\d+"|\d+)/.exec(text) ??
    /"id"\s*:\s*("proxy-\d+"|\d+)\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$/.exec(text);
  return found?.[1] === undefined ? undefined : (JSON.parse(found[1]) as Id);
}
