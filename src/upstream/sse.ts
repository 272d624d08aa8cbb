import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Principal } from '../auth/principal.js';
import { asProxyError, ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { profileOf, type ClientProfile } from '../protocol/client.js';
import { isRequest, toMessage, toResponse, type Message, type Request } from '../protocol/messages.js';
import { SSE_HEADERS, sseMessage } from '../protocol/sse.js';
import type { Attached } from '../session/attachments.js';
import type { Facts } from '../session/correlate.js';
import type { Reader } from '../session/outbox.js';
import type { Outboxes } from '../session/outboxes.js';
import { callerOf, parseJson } from './caller.js';
import { HttpPeer, UNKNOWN_CLIENT } from './http-peer.js';
import { introduce, type IntroduceOptions } from './introduce.js';
import { readBody, type Entrance } from './listener.js';
import { keepAlive, writeUnlessUnread } from './sse-stream.js';

/** The stream, and where a client posts its messages. */
export const SSE_PATH = '/sse';
export const MESSAGES_PATH = '/messages';

const MAX_KEY = 128;

export interface SseOptions extends IntroduceOptions {
  outboxes: Outboxes;
  maxBody: number;
}

/** One open stream of a client. */
interface Connection {
  principal: Principal;
  request: IncomingMessage;
  response: ServerResponse;
  /** The session that the URL or a header names. */
  address: string | undefined;
  /** By which the client is known when it comes back, where it has one. */
  key: string | undefined;
  peer: HttpPeer | undefined;
  /** While the client is being introduced. */
  introducing: Promise<HttpPeer> | undefined;
}

/**
 * HTTP+SSE of 2024-11-05: one stream down, a POST for each message up. Such clients take up a broken stream by
 * themselves, but neither say where they were nor introduce themselves again; so what they are to find again stands in
 * the URL: `/sse/s/NAME` names the session, `?key=KEY` the client with its stream.
 */
export class SseEndpoint {
  readonly #options: SseOptions;
  readonly #connections = new Map<string, Connection>();

  constructor(options: SseOptions) {
    this.#options = options;
  }

  /** Opens the stream. @param path what follows `/sse` */
  async open(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    entrance: Entrance,
  ): Promise<void> {
    allow(request, 'GET');
    const { attachments } = this.#options;
    const { principal, address } = await callerOf(request, response, path, entrance, attachments);
    const given = query(request, 'key');
    if (given !== undefined && (given === '' || given.length > MAX_KEY)) {
      throw new ProxyError('INVALID_REQUEST', `The key in the URL must have 1 to ${MAX_KEY} characters.`);
    }
    // A key is the client's own choice: it opens nothing but what the same principal opened with it, and only here. No
    // header carries a line feed, so that nobody with whom a session is shared can present it as an id of ours.
    const key = given === undefined ? undefined : `\n${JSON.stringify(['sse', principal.id, given])}`;
    const known = key === undefined ? undefined : this.#options.attachments.find(key, principal);
    const connection: Connection = {
      principal,
      request,
      response,
      address,
      key,
      peer: undefined,
      introducing: undefined,
    };
    const id = randomBytes(24).toString('base64url');
    this.#connections.set(id, connection);
    response.once('close', () => this.#connections.delete(id));
    response.writeHead(200, SSE_HEADERS);
    response.write(`event: endpoint\ndata: ${MESSAGES_PATH}?connection=${id}\n\n`);
    keepAlive(response);
    if (known) this.#connect(connection, known);
  }

  /** Takes one message; what answers it comes on the stream. */
  async message(
    request: IncomingMessage,
    response: ServerResponse,
    _path: string,
    { authenticate }: Entrance,
  ): Promise<void> {
    allow(request, 'POST');
    const principal = await authenticate(request.headers);
    const connection = this.#connections.get(query(request, 'connection') ?? '');
    if (connection?.principal.id !== principal.id) {
      throw new ProxyError('SESSION_NOT_FOUND', `This connection is closed. Open ${SSE_PATH} again.`);
    }
    const message = toMessage(parseJson(await readBody(request, this.#options.maxBody)));
    response.writeHead(202, { 'Content-Type': 'text/plain' }).end('Accepted');
    await this.#receive(connection, message);
  }

  async #receive(connection: Connection, message: Message): Promise<void> {
    try {
      if (!isRequest(message)) return connection.peer?.receive(message);
      if (message.method === 'initialize')
        return void (await this.#introducing(connection, this.#initialize(connection, message)));
      const peer =
        (await connection.introducing) ??
        connection.peer ??
        (await this.#introducing(connection, this.#resume(connection, message)));
      // On one stream the answers to two requests of one id could not be told apart.
      if (peer.isRunning(message.id)) {
        const text = `A request with id ${JSON.stringify(message.id)} is still under way.`;
        throw new ProxyError('INVALID_REQUEST', text);
      }
      const facts = this.#factsOf(connection, message);
      const { response, record } = await peer.request(message, peer.stream, facts);
      if (response) peer.outbox.send(response, { record });
    } catch (thrown) {
      const error = asProxyError(thrown);
      if (error.code === 'INTERNAL') log.upstream.error({ err: thrown }, error.message);
      if (!isRequest(message)) return;
      const answer = toResponse(message.id, { error: error.toJsonRpc() });
      writeUnlessUnread(connection.response, sseMessage(JSON.stringify(answer)));
    }
  }

  /** What comes meanwhile waits: it is of the same client, and for the same session. */
  #introducing(connection: Connection, introduced: Promise<HttpPeer>): Promise<HttpPeer> {
    connection.introducing = introduced;
    return introduced.finally(() => (connection.introducing = undefined));
  }

  async #initialize(connection: Connection, message: Request): Promise<HttpPeer> {
    const { result, peer } = await this.#introduce(connection, profileOf(message.params), message);
    peer.outbox.send(toResponse(message.id, { result }));
    return peer;
  }

  /** A client that goes on as if nothing had happened, after its stream broke or the proxy was restarted. */
  async #resume(connection: Connection, message: Request): Promise<HttpPeer> {
    const client = { ...UNKNOWN_CLIENT, protocolVersion: '2024-11-05' as const };
    const { peer } = await this.#introduce(connection, client, message);
    const named = connection.address !== undefined;
    if (!named)
      log.upstream.warn('A client came back without a session in its URL and was given another one.');
    return peer;
  }

  async #introduce(connection: Connection, client: ClientProfile, message: Request) {
    const facts = this.#factsOf(connection, message);
    const { result, attached } = await introduce(this.#options, client, facts, connection.key);
    return { result, peer: connection.peer ?? this.#connect(connection, attached) };
  }

  #factsOf({ principal, address, peer, request }: Connection, { params }: Request): Facts {
    const hint = this.#options.hints.read(params, request.headers);
    return { principal, address, hint, known: peer?.attached };
  }

  #connect(connection: Connection, attached: Attached): HttpPeer {
    const { outboxes, correlator } = this.#options;
    const { outlet, stream } = attached.attachment;
    // The answers to what the client asked before it came back are on their way to that one.
    const peer =
      outlet instanceof HttpPeer ? outlet : new HttpPeer(attached, outboxes.load(stream), correlator);
    connection.peer = peer;
    const { response } = connection;
    const reader = new SseConnection(response);
    response.on('drain', () => peer.outbox.resume(reader));
    response.once('close', () => peer.outbox.detach(reader));
    peer.outbox.attach(reader);
    return peer;
  }
}

/** The one stream of a client as the reader of its outbox. */
class SseConnection implements Reader {
  readonly #response: ServerResponse;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  event(_id: string, data: string): boolean {
    return this.#response.write(sseMessage(data));
  }

  end(_id?: string, data?: string): void {
    this.#response.end(data === undefined ? undefined : sseMessage(data));
  }
}

function allow({ method }: IncomingMessage, only: string): void {
  if (method === only) return;
  throw new ProxyError('METHOD_NOT_ALLOWED', `${method} is not allowed here. Use ${only}.`);
}

function query({ url = '' }: IncomingMessage, name: string): string | undefined {
  return new URLSearchParams(url.split('?')[1]).get(name) ?? undefined;
}
