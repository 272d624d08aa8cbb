import type { ErrorObject, ProxyError } from '../errors.js';
import { toInitialize, type ClientProfile } from '../protocol/client.js';
import { withoutEnvelope } from '../protocol/envelope.js';
import { isLegacyVersion } from '../protocol/eras.js';
import {
  isNotification,
  isRequest,
  isResponse,
  type Id,
  type Message,
  type Response,
} from '../protocol/messages.js';
import { within, type Failed, type HandshakeOptions } from './handshake.js';
import type { Connection, Description, Transport } from './types.js';

/** Requests of the middle count from 1. */
const INITIALIZE_ID = 0;

/**
 * Starts a transport and does the handshake of 2024-11-05 to 2025-11-25 in the client's name.
 * @param onrefused what is tried when the server answers `initialize` with an error
 * @throws {ProxyError} SERVER_UNAVAILABLE saying what the server did instead
 */
export function connectLegacy(
  options: HandshakeOptions,
  client: ClientProfile,
  onrefused: (error: ErrorObject, refusal: ProxyError) => Promise<Connection> = (_, refusal) =>
    Promise.reject(refusal),
): Promise<Connection> {
  const connection = new LegacyConnection(options.transport);
  return within(options, 'initialize', async (failed) => {
    const refused = await connection.handshake(client, failed);
    return refused ? onrefused(refused, failed(`it refused initialize: ${refused.message}`)) : connection;
  });
}

/** Goes on with a server whose handshake an earlier process did. @throws {ProxyError} SERVER_UNAVAILABLE */
export async function adoptLegacy(transport: Transport, description: Description): Promise<Connection> {
  const connection = new LegacyConnection(transport);
  await connection.adopt(description);
  return connection;
}

class LegacyConnection implements Connection {
  description: Description = {};
  readonly diagnosis: () => string;
  readonly close: Connection['close'];
  readonly label: Connection['label'];
  readonly #transport: Transport;
  #waiting: [Message, Id | undefined][] = [];
  #failed: [Id | undefined, ProxyError][] = [];
  /** Why no message will come any more, where that was known before anybody listened. */
  #closed: string | undefined;

  constructor(transport: Transport) {
    this.#transport = transport;
    this.diagnosis = () => transport.diagnosis();
    this.close = (force) => transport.close(force);
    this.label = (text) => transport.label(text);
  }

  /** @returns the error with which the server answered, where it did */
  async handshake(client: ClientProfile, failed: Failed): Promise<ErrorObject | undefined> {
    const transport = this.#transport;
    const answer = new Promise<Response>((resolve, reject) => {
      transport.onclose = (reason) => {
        this.#closed = reason;
        reject(failed(`it ${reason} before it answered initialize`));
      };
      transport.onfailed = (_, error) => reject(error);
      transport.onmessage = (message, cause) => {
        if (isResponse(message) && message.id === INITIALIZE_ID) resolve(message);
        else if (isRequest(message) && message.method === 'ping')
          void this.send({ jsonrpc: '2.0', id: message.id, result: {} });
        else if (isRequest(message) || isNotification(message)) this.#waiting.push([message, cause]);
      };
    });
    answer.catch(() => {}); // told below, once the start itself has not failed
    await transport.start();
    const params = toInitialize(client);
    await transport.send({ jsonrpc: '2.0', id: INITIALIZE_ID, method: 'initialize', params });
    const response = await answer;
    if ('error' in response) return response.error;
    const version = response.result.protocolVersion;
    if (!isLegacyVersion(version))
      throw failed(`it speaks revision ${JSON.stringify(version)}, which is not known here`);
    this.description = response.result;
    await transport.initialized(version);
    return undefined;
  }

  /** What comes before anybody listens is kept, an answer or its failure too. */
  async adopt(description: Description): Promise<void> {
    this.description = description;
    this.#transport.onclose = (reason) => (this.#closed = reason);
    this.#transport.onfailed = (id, error) => this.#failed.push([id, error]);
    this.#transport.onmessage = (message, cause) => this.#waiting.push([message, cause]);
    await this.#transport.start();
  }

  send(message: Message): Promise<void> {
    if (!('method' in message) || !message.params?._meta) return this.#transport.send(message);
    return this.#transport.send({ ...message, params: withoutEnvelope(message.params) });
  }

  get pid(): number | undefined {
    return this.#transport.pid;
  }

  get sessionless(): boolean {
    return this.#transport.sessionless ?? false;
  }

  listen(events: Pick<Transport, 'onmessage' | 'onfailed' | 'onclose'>): void {
    this.#transport.onmessage = events.onmessage;
    this.#transport.onfailed = events.onfailed;
    this.#transport.onclose = events.onclose;
    for (const [message, cause] of this.#waiting.splice(0)) events.onmessage(message, cause);
    for (const [id, error] of this.#failed.splice(0)) events.onfailed(id, error);
    if (this.#closed !== undefined) events.onclose(this.#closed);
  }
}
