import { isUtf8 } from 'node:buffer';
import type { Writable } from 'node:stream';
import { ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { redact } from '../secrets.js';
import { LineSplitter } from '../protocol/lines.js';
import { toMessage, type Id, type Message } from '../protocol/messages.js';
import { Child, PIPES_DRAIN, type ChildOptions } from './child.js';
import type { Transport } from './types.js';

/** A server that does not read its input may keep this many bytes waiting; then it is busy. */
const MAX_UNREAD_BYTES = 8 * 1024 ** 2;

/** Lines that are no messages are logged, the first few of each server. */
const MAX_LOGGED_NOISE = 20;

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
  /** Whether the next line may be the rest of one whose beginning an earlier process has read. */
  #torn: boolean;

  constructor(options: ChildOptions & { maxMessage: number; torn?: boolean }) {
    this.#child = new Child(options);
    this.#server = options.server;
    this.#torn = options.torn ?? false;
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
    stdin.write(`${JSON.stringify(message)}\n`);
    return Promise.resolve();
  }

  initialized(): Promise<void> {
    return Promise.resolve();
  }

  diagnosis(): string {
    const noise = this.#noise > 0 ? ` It wrote ${this.#noise} lines to stdout that are no MCP messages.` : '';
    return noise + this.#child.diagnosis();
  }

  label(text: string): void {
    this.#child.label(text);
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
