import { PassThrough, type Readable, type Writable } from 'node:stream';
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';

/** The proxy has bounds of its own for each server. */
const NO_BOUND = Number.MAX_SAFE_INTEGER;

/** An MCP client's transport to a proxy in the same process: the pipe of a stdio client, without a process. */
export class PipeTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: NonNullable<Transport['onmessage']>;
  readonly #serve: (input: Readable, output: Writable) => Promise<void>;
  readonly #toProxy = new PassThrough();
  readonly #fromProxy = new PassThrough();
  readonly #buffer = new ReadBuffer({ maxBufferSize: NO_BOUND });
  #closed = false;

  constructor(serve: (input: Readable, output: Writable) => Promise<void>) {
    this.#serve = serve;
  }

  start(): Promise<void> {
    this.#fromProxy.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#serve(this.#toProxy, this.#fromProxy).then(
      () => this.close(),
      (error: Error) => this.onerror?.(error),
    );
    return Promise.resolve();
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#closed) return Promise.reject(new Error('The transport is closed.'));
    this.#toProxy.write(serializeMessage(message));
    return Promise.resolve();
  }

  /** Detaches the client; the session stays. */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#toProxy.end();
      this.onclose?.();
    }
    return Promise.resolve();
  }

  #receive(chunk: Buffer): void {
    this.#buffer.append(chunk);
    for (;;) {
      try {
        const message = this.#buffer.readMessage();
        if (message === null) return;
        this.onmessage?.(message);
      } catch (error) {
        this.onerror?.(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}
