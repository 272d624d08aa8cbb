import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isRequest, toMessage, type Message } from '../protocol/messages.js';
import type { HttpOptions } from './http.js';
import type { Transport } from './types.js';

/** HTTP+SSE of 2024-11-05 over the SDK's client transport. One stream carries everything; when it breaks, all is over. */
export class SseTransport implements Transport {
  onmessage: Transport['onmessage'] = () => {};
  onfailed: Transport['onfailed'] = () => {};
  onclose: Transport['onclose'] = () => {};
  readonly pid = undefined;
  readonly #options: HttpOptions;
  readonly #sdk: SSEClientTransport;
  #over = false;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#sdk = new SSEClientTransport(new URL(options.url), { requestInit: { headers: options.headers } });
    this.#sdk.onmessage = (message) => {
      try {
        this.onmessage(toMessage(message));
      } catch (error) {
        log.downstream.warn({ server: options.server }, messageOf(error));
      }
    };
  }

  async start(): Promise<void> {
    try {
      await this.#sdk.start();
    } catch (error) {
      const { server, url } = this.#options;
      const text = `Server "${server}" cannot be reached at ${url}: ${messageOf(error)}. Check servers.${server}.url.`;
      throw new ProxyError('SERVER_UNAVAILABLE', text, { cause: error });
    }
    // The SDK would reconnect to a session of its own that knows nothing of ours: that is an end, not a pause.
    this.#sdk.onerror = (error) => this.#end(`broke its stream: ${error.message}`);
    this.#sdk.onclose = () => this.#end('was closed');
  }

  async send(message: Message): Promise<void> {
    try {
      await this.#sdk.send(message);
    } catch (error) {
      const text = `Server "${this.#options.server}" did not take the request: ${messageOf(error)}`;
      throw new ProxyError(isRequest(message) ? 'OUTCOME_UNKNOWN' : 'SERVER_UNAVAILABLE', text, {
        cause: error,
      });
    }
  }

  async initialized(protocolVersion: string): Promise<void> {
    this.#sdk.setProtocolVersion(protocolVersion);
    await this.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
  }

  label(): void {}

  diagnosis(): string {
    return ` It is at ${this.#options.url}.`;
  }

  close(): Promise<void> {
    return this.#sdk.close();
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.#over = true;
    void this.#sdk.close();
    this.onclose(reason);
  }
}
