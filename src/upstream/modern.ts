import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import type { Remember } from '../downstream/remote-session.js';
import { asProxyError, messageOf, ProxyError } from '../errors.js';
import { log } from '../logger.js';
import {
  isFields,
  toResponse,
  type Fields,
  type Notification,
  type Outcome,
  type Request,
} from '../protocol/messages.js';
import { MODERN_VERSION } from '../protocol/eras.js';
import { completed, envelopeOf, isLogged, isRemoved, type Envelope } from '../protocol/modern.js';
import type { LeftRequest } from '../session/adoption.js';
import { Exchange, restartedError, silent, type Asked, type Outlet } from '../session/exchange.js';
import { asToolResult } from '../session/loss.js';
import type { Target } from '../session/correlate.js';
import type { Session } from '../session/session.js';
import type { Store } from '../store/types.js';
import {
  HeldCall,
  withBareState,
  withMarkedState,
  HeldCalls,
  type RequestStream,
  type Told,
} from './held.js';
import { meetServers } from './introduce.js';
import { takeLeftCalls, type LeftCall } from './left-calls.js';
import { routingOf, type Answer } from './legacy.js';
import { Listen } from './listen.js';

/** Legacy: a server asks for a visit to a URL by this error. 2026-07-28 asks for input instead, then for the call again. */
const URL_ELICITATION_REQUIRED = -32042;

/** Legacy: what was to be read is not there. 2026-07-28 has no code of its own for it. */
const RESOURCE_NOT_FOUND = -32002;
const INVALID_PARAMS = -32602;

/** A request under way. */
export interface Running {
  answer: Promise<Answer>;
  /** The client wants no answer any more. */
  cancel: () => void;
}

/** Requests of clients of 2026-07-28, which describe themselves, carried out. Knows no transport. */
export class ModernRequests {
  readonly #held: HeldCalls;

  constructor(clock: Clock, store: Store, remember: Remember = () => {}) {
    this.#held = new HeldCalls(clock, store, remember);
  }

  /** Takes the calls that an earlier worker left under way. */
  inherit(remembered: ReadonlyMap<string, string>): LeftRequest[] {
    return takeLeftCalls(remembered, this.#held.remember).map((left) => ({
      sent: left.sent,
      goOn: (session) => this.#goOn(left, session),
      giveUp: () => this.#giveUp(left),
    }));
  }

  /** The proxy stops: nobody could take the answer of a call whose client is away. */
  close(): void {
    this.#held.close();
  }

  /** @throws {ProxyError} ENVELOPE_INVALID, UNSUPPORTED_VERSION, METHOD_NOT_FOUND, INVALID_PARAMS */
  begin(request: Request, principal: string, target: Target, stream: RequestStream): Running {
    const { id, method, params } = request;
    const envelope = envelopeOf(params);
    if (isRemoved(method)) {
      throw new ProxyError('METHOD_NOT_FOUND', `Revision ${MODERN_VERSION} has no method ${method}.`);
    }
    switch (method) {
      case 'server/discover': {
        const outcome = target.run((session) => discover(session, envelope));
        return { answer: outcome.then((told) => ({ response: toResponse(id, told) })), cancel: () => {} };
      }
      case 'subscriptions/listen': {
        const listen = new Listen(request, envelope, principal, stream);
        const outcome = target.run((session) => listen.serve(session));
        return {
          answer: outcome.then((told) => ({ response: toResponse(id, told) })),
          cancel: () => listen.close(),
        };
      }
      default: {
        const call = this.#call(request, envelope, principal, target);
        const answer = call.next(stream).then(({ outcome, record }: Told) => ({
          response: toResponse(id, outcome),
          record,
        }));
        return { answer, cancel: call.abandon };
      }
    }
  }

  /** The call that the request starts, or goes on with. */
  #call(request: Request, envelope: Envelope, principal: string, target: Target): HeldCall {
    const { method, params } = request;
    const owned = { principal, session: target.key, request: fingerprint(request) };
    const facts = { owned, method, envelope };
    const held = this.#held.take(params, owned);
    if (held) {
      held.answer(isFields(params?.inputResponses) ? params.inputResponses : {});
      return held;
    }
    let exchange: Exchange | undefined;
    let given = false;
    const call = new HeldCall(this.#held, facts, () => {
      given = true;
      exchange?.cancel(GONE);
    });
    let serverInfo: unknown;
    const run = async (session: Session): Promise<Outcome> => {
      ({ serverInfo } = session.describe());
      await setLevel(session, envelope, principal);
      for (;;) {
        exchange = new Exchange(method, withBareState(params), outletOf(call, session, envelope), principal);
        exchange.use = target.use;
        noteOn(call, exchange, session);
        if (given) exchange.cancel({});
        const outcome = await session.request(exchange);
        call.sentTo(undefined);
        const visits = visitsOf(outcome);
        if (!visits) return outcome;
        const answers = await Promise.all(
          visits.map((visit) => call.ask({ method: 'elicitation/create', params: visit }).answer),
        );
        const willing = answers.every((answer) => 'result' in answer && answer.result.action === 'accept');
        if (!willing) return refusedVisit(outcome);
      }
    };
    target
      .run(run)
      .catch((error: unknown) => ({ error: asProxyError(error).toJsonRpc() }))
      .then((outcome) => call.finish(translated(method, outcome, serverInfo), exchange?.record))
      .catch((error: unknown) => log.upstream.error({ err: error }, messageOf(error)));
    return call;
  }

  /** Goes on with a call whose client is away; of one whose client was here, the connection broke: it is cancelled. */
  async #goOn(left: LeftCall, session: Session): Promise<void> {
    const { owned, method, envelope, sent, state } = left;
    const call = new HeldCall(this.#held, left, () => exchange.cancel(GONE), left);
    const outlet = outletOf(call, session, envelope);
    const exchange = new Exchange(method, sent.params, outlet, owned.principal);
    exchange.sent = sent;
    call.sentTo(sent);
    noteOn(call, exchange, session);
    if (state === undefined) call.abandon();
    else this.#held.put(call, state);
    const { serverInfo } = session.describe();
    const outcome = await session
      .request(exchange)
      .catch((error: unknown) => ({ error: asProxyError(error).toJsonRpc() }));
    call.finish(translated(method, outcome, serverInfo), exchange.record);
  }

  /** The server of the call is gone: its client is told so when it comes back. */
  #giveUp(left: LeftCall): void {
    if (left.state === undefined) return;
    const call = new HeldCall(this.#held, left, () => {});
    call.finish(translated(left.method, asToolResult(restartedError()), undefined), undefined);
    this.#held.put(call, left.state);
  }
}

const GONE = { reason: 'The client has gone.' };

/** Has the call know where its request is. */
function noteOn(call: HeldCall, exchange: Exchange, session: Session): void {
  exchange.note = (sent) => {
    const { params, principal } = exchange;
    call.sentTo({ ...sent, session: session.id, principal, params: routingOf(params) });
    return undefined;
  };
}

/** What makes a retry the same request: all but the answers it brings and what describes the client. */
function fingerprint({ method, params = {} }: Request): string {
  const { inputResponses: _answers, requestState: _state, _meta, ...rest } = params;
  return createHash('sha256')
    .update(JSON.stringify([method, rest]))
    .digest('base64url');
}

function outletOf(call: HeldCall, session: Session, { client, logLevel }: Envelope): Outlet {
  return {
    client,
    connected: true,
    ask: (asked) => call.ask(withoutToken(asked)),
    takeUp: (id) => call.takeUp(id),
    refuse: (capability) => {
      const text = `The server needs the client capability "${capability}", which this request does not declare.`;
      const details = { requiredCapabilities: { [capability]: {} } };
      return new ProxyError('CAPABILITY_REQUIRED', text, { details }).toJsonRpc();
    },
    notify: (notification) => {
      const { method, params } = notification;
      if (isForListeners(method)) return session.notify(notification);
      // 2026-07-28: log messages only to requests that ask for them; the end of a visit is told by the retry.
      if (method === 'notifications/message' && !isLogged(params?.level, logLevel)) return;
      if (method !== 'notifications/elicitation/complete') call.notify(notification);
    },
  };
}

/** Changes of lists and resources go to those who listen, not to whoever has a request under way. */
function isForListeners(method: Notification['method']): boolean {
  return method.endsWith('/list_changed') || method === 'notifications/resources/updated';
}

/** The server's own progress token is for our hop alone. */
function withoutToken(asked: Asked): Asked {
  const { params } = asked;
  if (!isFields(params?._meta)) return asked;
  const { progressToken: _, ...meta } = params._meta;
  const { _meta, ...rest } = params;
  return { ...asked, params: Object.keys(meta).length > 0 ? { ...rest, _meta: meta } : rest };
}

/** Legacy servers log at one level for all; each request gets of it what it asked for. */
async function setLevel(session: Session, { client, logLevel }: Envelope, principal: string): Promise<void> {
  if (logLevel === undefined || session.settings.logLevel === logLevel) return;
  const exchange = new Exchange('logging/setLevel', { level: logLevel }, silent(client), principal);
  await session.request(exchange);
}

async function discover(session: Session, { client }: Envelope): Promise<Outcome> {
  await meetServers(session, client);
  const { capabilities, serverInfo, instructions } = session.describe();
  const { tasks: _, ...offered } = isFields(capabilities) ? capabilities : {};
  const result = {
    supportedVersions: [MODERN_VERSION],
    capabilities: offered,
    ...(instructions === undefined ? {} : { instructions }),
  };
  return { result: completed('server/discover', result, serverInfo) };
}

/** An outcome as this revision words it. */
function translated(method: string, outcome: Outcome, serverInfo: unknown): Outcome {
  if ('result' in outcome) {
    const result = withMarkedState(withoutTasks(method, outcome.result));
    return { result: completed(method, result, serverInfo) };
  }
  const { error } = outcome;
  return error.code === RESOURCE_NOT_FOUND ? { error: { ...error, code: INVALID_PARAMS } } : outcome;
}

/** How a tool runs as a legacy task is of no use to this revision. */
function withoutTasks(method: string, result: Fields): Fields {
  const { tools } = result;
  if (method !== 'tools/list' || !Array.isArray(tools)) return result;
  if (!tools.some((tool) => isFields(tool) && 'execution' in tool)) return result;
  return { ...result, tools: tools.map((tool: unknown) => (isFields(tool) ? withoutExecution(tool) : tool)) };
}

function withoutExecution({ execution: _, ...tool }: Fields): Fields {
  return tool;
}

/** The visits to URLs without which a legacy server does not carry the call out. */
function visitsOf(outcome: Outcome): Fields[] | undefined {
  if (!('error' in outcome) || outcome.error.code !== URL_ELICITATION_REQUIRED) return undefined;
  const { data } = outcome.error;
  const elicitations: unknown[] = isFields(data) && Array.isArray(data.elicitations) ? data.elicitations : [];
  const visits = elicitations.filter(isFields).map(({ elicitationId: _, ...visit }) => visit);
  return visits.length > 0 ? visits : undefined;
}

function refusedVisit(outcome: Outcome): Outcome {
  const text = 'error' in outcome ? outcome.error.message : '';
  return {
    result: {
      isError: true,
      content: [{ type: 'text', text: `The user did not follow the link that the server needs. ${text}` }],
    },
  };
}
