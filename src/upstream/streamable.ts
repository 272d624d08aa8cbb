import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { ProxyError, asProxyError } from '../errors.js';
import { profileOf } from '../protocol/client.js';
import {
  BATCH_VERSION,
  eraOf,
  isLegacyVersion,
  LEGACY_VERSIONS,
  MODERN_VERSION,
  PRIMING_VERSION,
  VERSION_WITHOUT_HEADER,
  type LegacyVersion,
} from '../protocol/eras.js';
import {
  isRequest,
  toMessage,
  type Message,
  type Notification,
  type Request,
  type Response,
} from '../protocol/messages.js';
import { isModern } from '../protocol/modern.js';
import { isWorthKeeping } from '../protocol/methods.js';
import type { Answers } from '../session/answers.js';
import type { Attached } from '../session/attachments.js';
import type { Facts } from '../session/correlate.js';
import { parseEventId, type Outbox } from '../session/outbox.js';
import type { Outboxes } from '../session/outboxes.js';
import type { Session } from '../session/session.js';
import type { Store } from '../store/types.js';
import { accepts, callerOf, parseJson, sessionKey, type Caller } from './caller.js';
import { HttpPeer, UNKNOWN_CLIENT } from './http-peer.js';
import { introduce, type IntroduceOptions } from './introduce.js';

import { answerError, readBody, type Entrance } from './listener.js';
import type { ModernHttp } from './modern-http.js';
import { Reply } from './reply.js';
import { modernTarget } from './target.js';
import { SseReader } from './sse-stream.js';

/** Messages in one batch; a client that needs more sends two. */
const MAX_BATCH = 100;

export interface StreamableOptions extends IntroduceOptions {
  store: Store;
  outboxes: Outboxes;
  answers: Answers;
  instance: string;
  maxBody: number;
  /** Another process takes over, should this one die. */
  succeeded: boolean;
  /** Takes what clients of 2026-07-28 send. */
  modern: ModernHttp;
}

/** Streamable HTTP of 2025-03-26 to 2025-11-25, on bare node:http. */
export class StreamableEndpoint {
  readonly #options: StreamableOptions;
  readonly #peers = new WeakMap<Attached['attachment'], HttpPeer>();
  /** Clients without an id of ours, by the session that their requests name, and by principal: guests are not the owner. */
  readonly #strangers = new WeakMap<Session, Map<string, HttpPeer>>();
  /** The stored answer that a connection carried last. */
  readonly #answered = new WeakMap<Socket, Outbox>();

  constructor(options: StreamableOptions) {
    this.#options = options;
  }

  /** @param path what follows the endpoint's own path: nothing, or `/s/` and the address of a session */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    entrance: Entrance,
  ): Promise<void> {
    this.#acknowledge(request.socket);
    if (request.method !== 'POST' && eraOf(request.headers['mcp-protocol-version']) === 'modern') {
      const text = `Revision ${MODERN_VERSION} has no ${request.method}: use POST.`;
      throw new ProxyError('METHOD_NOT_ALLOWED', text);
    }
    const caller = await callerOf(request, response, path, entrance, this.#options.attachments);
    const { known } = caller;
    switch (request.method) {
      case 'POST':
        return this.#post(caller);
      case 'GET':
        return this.#get(caller, this.#peer(caller));
      case 'DELETE': {
        const peer = this.#peer(caller);
        // Without an id of its own the client leaves nothing but the session, and that stays.
        if (known) {
          peer.close();
          await this.#options.attachments.detach(known);
        }
        return void response.writeHead(204).end();
      }
      default:
        throw new ProxyError(
          'METHOD_NOT_ALLOWED',
          `${request.method} is not allowed here. Use POST, GET or DELETE.`,
        );
    }
  }

  // -- POST ------------------------------------------------------------------------------------------------------

  async #post(caller: Caller): Promise<void> {
    const { request, response } = caller;
    if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
      throw new ProxyError('UNSUPPORTED_MEDIA_TYPE', 'Send the message as "Content-Type: application/json".');
    }
    const body = await readBody(request, this.#options.maxBody);
    // The receipt: without it, the message was certainly not carried out.
    if (caller.local && !response.destroyed) response.writeProcessing();
    const value = parseJson(body);
    if (Array.isArray(value)) return this.#batch(caller, value);
    const message = toMessage(value);
    const version = request.headers['mcp-protocol-version'];
    if ('method' in message && isModern(message, typeof version === 'string' ? version : undefined)) {
      const target = () => modernTarget(this.#options.correlator, this.#factsOf(caller, message), message);
      return this.#options.modern.handle(caller, message, target);
    }
    try {
      if (isRequest(message) && message.method === 'initialize')
        return await this.#initialize(caller, message);
      if (isRequest(message)) return await this.#request(caller, message);
      this.#receive(caller, message);
      response.writeHead(202).end();
    } catch (error) {
      answerError(response, asProxyError(error), isRequest(message) ? message.id : null);
    }
  }

  async #initialize(caller: Caller, message: Request): Promise<void> {
    const { response } = caller;
    const facts = this.#factsOf(caller, message);
    // Who names a session is attached to that one, whatever its id was for.
    const named = facts.address !== undefined || facts.hint !== undefined;
    const { result, attached } = await introduce(this.#options, profileOf(message.params), {
      ...facts,
      known: named ? undefined : facts.known,
    });
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: message.id, result }));
    response.writeHead(200, {
      'Content-Type': 'application/json',
      'Content-Length': body.length,
      'Mcp-Session-Id': attached.attachment.key,
    });
    response.end(body);
  }

  async #request(caller: Caller, message: Request): Promise<void> {
    const { request } = caller;
    const facts = this.#factsOf(caller, message);
    const peer = this.#peer(caller, facts);
    const reply = this.#reply(caller, peer, message);
    if (reply.primes && isWorthKeeping(message.method)) reply.keep();
    reply.end(await peer.request(message, reply, facts));
    if (reply.outbox) this.#answered.set(request.socket, reply.outbox);
  }

  #receive(caller: Caller, message: Notification | Response): void {
    const facts = this.#factsOf(caller, 'method' in message ? message : undefined);
    this.#peer(caller, facts).receive(message, this.#options.correlator.correlate(facts)?.session);
  }

  /** 2025-03-26 alone: several messages in one POST, their answers in one array. */
  async #batch(caller: Caller, values: unknown[]): Promise<void> {
    const { response, local } = caller;
    if (local)
      throw new ProxyError('INVALID_REQUEST', 'Batches are not taken on a pipe: send one message a line.');
    const peer = this.#peer(caller);
    const { protocolVersion } = peer.client;
    if (protocolVersion !== BATCH_VERSION) {
      const text = `Revision ${protocolVersion} has no batches: send one message a request.`;
      throw new ProxyError('INVALID_REQUEST', text);
    }
    if (values.length === 0 || values.length > MAX_BATCH) {
      throw new ProxyError(
        'INVALID_REQUEST',
        `A batch holds 1 to ${MAX_BATCH} messages; this one holds ${values.length}.`,
      );
    }
    const messages: Message[] = values.map(toMessage);
    const requests = messages.filter(isRequest);
    if (requests.some(({ method }) => method === 'initialize')) {
      throw new ProxyError('INVALID_REQUEST', 'initialize cannot be part of a batch.');
    }
    // An array has no place for what servers send meanwhile: that goes on the client's own stream.
    const aside = { open: false, send: () => {} };
    const answers = requests.map((one) => peer.request(one, aside, this.#factsOf(caller, one)));
    for (const message of messages) if (!isRequest(message)) this.#receive(caller, message);
    if (requests.length === 0) return void response.writeHead(202).end();
    const settled = await Promise.all(answers);
    await this.#options.store.write(() => settled.forEach(({ record }) => record?.()));
    const body = JSON.stringify(settled.flatMap(({ response: one }) => one ?? []));
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(body);
  }

  #reply({ request, response, local }: Caller, peer: HttpPeer, message: Request): Reply {
    const { store, outboxes, answers, instance, succeeded } = this.#options;
    return new Reply({
      store,
      outboxes,
      answers,
      succeeded,
      head: {
        attachment: peer.attached.attachment.id,
        request: message.id,
        method: message.method,
        instance,
      },
      response,
      streams: accepts(request, 'text/event-stream'),
      primes: knowsPriming(peer, local),
    });
  }

  // -- GET -------------------------------------------------------------------------------------------------------

  /**
   * Opens the client's own stream, or takes up the one its last event came on. 2025-11-25: the server MUST NOT replay
   * messages of another stream; an id that is not this client's own is treated as none.
   */
  #get({ request, response, local }: Caller, peer: HttpPeer): Promise<void> {
    if (!accepts(request, 'text/event-stream')) {
      throw new ProxyError(
        'NOT_ACCEPTABLE',
        'GET opens a stream of events: send "Accept: text/event-stream".',
      );
    }
    const last = parseEventId(String(request.headers['last-event-id'] ?? ''));
    const outbox = (last && this.#streamOf(peer, last.stream)) ?? peer.outbox;
    const after = last && outbox.stream === last.stream ? last.seq : undefined;
    new SseReader(response, outbox, after, knowsPriming(peer, local));
    return Promise.resolve();
  }

  #streamOf(peer: HttpPeer, stream: number): Outbox | undefined {
    if (stream === peer.outbox.stream) return peer.outbox;
    const { store, outboxes, answers } = this.#options;
    if (store.streams.head(stream)?.attachment !== peer.attached.attachment.id) return undefined;
    return answers.get(stream) ?? outboxes.load(stream);
  }

  // -- peers -----------------------------------------------------------------------------------------------------

  /** What tells the session of a message. */
  #factsOf({ request, principal, address, known }: Caller, message?: Request | Notification): Facts {
    const { hints, correlator } = this.#options;
    return {
      principal,
      handle: message && correlator.handle(message.method, message.params),
      address,
      hint: hints.read(message?.params, request.headers),
      known,
    };
  }

  /**
   * The client of a request: by its id, or, where it sends none or a dead one, by the session that the request names.
   * @throws {ProxyError} SESSION_REQUIRED, SESSION_NOT_FOUND, UNSUPPORTED_VERSION
   */
  #peer(caller: Caller, facts = this.#factsOf(caller)): HttpPeer {
    const { request, principal, known, local } = caller;
    const version = request.headers['mcp-protocol-version'];
    if (version !== undefined && !isLegacyVersion(version)) {
      throw new ProxyError(
        'UNSUPPORTED_VERSION',
        `MCP-Protocol-Version "${String(version)}" is not spoken here. Use one of ${LEGACY_VERSIONS.join(', ')}.`,
        { details: { supported: LEGACY_VERSIONS, requested: version } },
      );
    }
    if (known) return this.#peerOf(known);
    const { correlator } = this.#options;
    // What a model names is not where its client is, unless there is nothing else to go by.
    const named = local
      ? undefined // a shim introduces its client again
      : (correlator.correlate({ ...facts, handle: undefined }) ?? correlator.correlate(facts));
    if (named?.session)
      return this.#strangerIn(named.session, principal.id, version ?? VERSION_WITHOUT_HEADER);
    if (sessionKey(request) === undefined) {
      throw new ProxyError(
        'SESSION_REQUIRED',
        'The header Mcp-Session-Id is missing. Send initialize first.',
      );
    }
    // 2025-11-25, session management: 404 tells the client to start anew with initialize.
    throw new ProxyError('SESSION_NOT_FOUND', 'Session not found. Send initialize to start a new one.');
  }

  /** A client of which nothing is known but what it sends with each request. */
  #strangerIn(session: Session, principal: string, protocolVersion: LegacyVersion): HttpPeer {
    const strangers = this.#strangers.get(session) ?? new Map<string, HttpPeer>();
    this.#strangers.set(session, strangers);
    const met = strangers.get(principal);
    if (met) return met;
    const client = { ...UNKNOWN_CLIENT, protocolVersion };
    const stranger = this.#peerOf(this.#options.attachments.attach(session, client, false));
    strangers.set(principal, stranger);
    return stranger;
  }

  #peerOf(attached: Attached): HttpPeer {
    const known = this.#peers.get(attached.attachment);
    if (known) return known;
    const peer = new HttpPeer(
      attached,
      this.#options.outboxes.load(attached.attachment.stream),
      this.#options.correlator,
    );
    this.#peers.set(attached.attachment, peer);
    return peer;
  }

  /** A connection that carries another request has delivered the answer before: nobody will ask for that again. */
  #acknowledge(socket: Socket): void {
    const answered = this.#answered.get(socket);
    if (!answered?.ended || answered.read) return;
    this.#answered.delete(socket);
    this.#options.answers.forget(answered.stream);
  }
}

/** Whether the client can resume a stream from before its first message; a shim can, whatever its client speaks. */
function knowsPriming({ client }: HttpPeer, local: boolean): boolean {
  return local || client.protocolVersion >= PRIMING_VERSION;
}
