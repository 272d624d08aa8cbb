import type { ServerConfig } from '../config/schema.js';
import type { Held } from '../downstream/types.js';
import { asProxyError, messageOf, type ProxyError } from '../errors.js';
import { log } from '../logger.js';
import type { ClientProfile } from '../protocol/client.js';
import { toResponse, type Fields, type Id, type Outcome } from '../protocol/messages.js';
import type { SentRequest, Store, StreamHead } from '../store/types.js';
import { isOf, parseLabel, waitsForAnswers, type Label } from './label.js';
import type { Attachments } from './attachments.js';
import { holderOf } from './bindings.js';
import { Exchange, restartedError, type Inherited, type Outlet } from './exchange.js';
import { asToolResult } from './loss.js';
import type { SessionManager } from './manager.js';
import type { Outbox } from './outbox.js';
import type { Outboxes } from './outboxes.js';
import type { Session } from './session.js';

/** A server that outlived a worker, and what that worker left word of. */
export type HeldServer = Held & { label: string };

/** A request without a stored stream, of which the edge knows from the earlier worker where it is. */
export interface LeftRequest {
  sent: SentRequest;
  /** A server still has it. Resolves when it has ended. */
  goOn(session: Session): Promise<void>;
  /** No server has it any more. */
  giveUp(): void;
}

/** Answers requests whose process died with them: whoever comes back for the answer gets this one. */
export function answerAbandoned(outboxes: Outboxes, open = outboxes.store.streams.unanswered()): void {
  for (const { stream, head } of open) {
    end(outboxes.load(stream), head, failureOf(head, restartedError()), undefined);
  }
}

export interface AdoptionOptions {
  store: Store;
  manager: SessionManager;
  attachments: Attachments;
  /** What the earlier worker had the keeper remember. */
  remembered: ReadonlyMap<string, string>;
  servers: readonly ServerConfig[];
  /** Ends what nobody wants. @param config of its server, if that is still the same */
  end: (held: Held, config: ServerConfig | undefined) => Promise<void>;
  /** A result as the clients understand it whose answers are stored. */
  readable: (method: string, result: Fields) => Fields;
}

/** What one worker needs to go on where another one of the same keeper left off. */
export class Adoption {
  readonly #options: AdoptionOptions;
  /** Sessions that go on with some server, or with what stood beside one. */
  readonly #going = new Set<Session>();
  /** Requests that a server still has, by their ids there. */
  readonly #expected = new Set<number>();

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /**
   * Goes on with the servers that still run and with the requests that are with them.
   * @param ids of the sessions that the earlier worker had
   */
  async run(
    ids: readonly string[],
    held: readonly HeldServer[],
    left: readonly LeftRequest[],
  ): Promise<void> {
    const arrived = this.#options.manager.outboxes.takeArrived(this.#options.remembered);
    const open = this.#options.store.streams.unanswered().map(({ stream, head }) => {
      const answer = arrived.get(stream);
      const sent = head.sent && { ...head.sent, ...(answer?.id === head.sent.id ? { answer } : {}) };
      return { stream, head, sent };
    });
    const requests: Inherited[] = [
      ...open.flatMap(({ sent }) => sent ?? []),
      ...left.map(({ sent }) => sent),
    ];
    const sessions = ids.flatMap((id) => this.#options.manager.takeOver(id) ?? []);
    for (const session of sessions) {
      session.refresh();
      this.#options.attachments.awaitClients(session);
    }
    for (const one of held) {
      const label = parseLabel(one.label);
      try {
        if (await this.#adopt(label, one, sessions, requests)) continue;
      } catch (error) {
        log.session.warn(`A server could not be taken over: ${messageOf(error)}`);
      }
      const config = this.#options.servers.find(
        (known) => known.name === label?.server && isOf(label, known),
      );
      this.#options.end(one, config).catch((error: unknown) => log.session.warn(messageOf(error)));
    }
    // What no server holds is paused; its next request starts what it needs.
    for (const session of sessions) if (!this.#going.has(session)) await this.#rest(session);
    const abandoned = open.filter(({ stream, head, sent }) => !sent || !this.#resume(stream, head, sent));
    answerAbandoned(this.#options.manager.outboxes, abandoned);
    for (const one of left) {
      const session = this.#options.manager.byId(one.sent.session);
      const goesOn = session && this.#expected.has(one.sent.id);
      const over = goesOn ? one.goOn(session) : Promise.resolve(one.giveUp());
      over
        .then(() => (session?.temporary ? this.#rest(session) : undefined))
        .catch((error: unknown) => log.session.warn(messageOf(error)));
    }
  }

  /** Nothing of the session runs any more. */
  async #rest(session: Session): Promise<void> {
    const { manager } = this.#options;
    if (!session.temporary) return session.pause(RESTARTED);
    await manager.close(session, RESTARTED);
    await manager.purge(session.id);
  }

  async #adopt(
    label: Label | undefined,
    held: Held,
    sessions: Session[],
    requests: Inherited[],
  ): Promise<boolean> {
    if (!label) return false;
    const { owner, server } = label;
    const users = sessions.filter((session) => {
      const config = session.servers.configs().find(({ name }) => name === server);
      // Of a server that the config has otherwise now, or not at all, a new one is started when it is needed.
      if (!config || holderOf(config, session) !== owner || !isOf(label, config)) return false;
      if (session.temporary && !requests.some((sent) => sent.session === session.id)) return false;
      if (config.scope === 'session' || config.scope === 'call') return true;
      return this.#options.store.bindings.seen(session.id).some((seen) => seen.server === server);
    });
    const [config] = users.map(({ servers }) => servers.config(server));
    if (!config) return false;
    const own = requests.filter(
      (sent) =>
        sent.server === server &&
        users.some(({ id }) => id === sent.session) &&
        (sent.asked.length === 0 || waitsForAnswers(label)) &&
        (config.scope !== 'call' || has(held, sent)),
    );
    // One of scope call is of no use without its call; any other one while there was none after it.
    const isServer = label.companion === undefined;
    if (isServer && (config.scope === 'call' ? own.length === 0 : !this.#isLatest(label))) return false;
    const expected = isServer ? own : [];
    for (const session of users) {
      await session.servers.adopt(config, held, label, expected);
      this.#going.add(session);
    }
    for (const { id } of expected) this.#expected.add(id);
    return true;
  }

  #isLatest({ owner, server, generation }: Label): boolean {
    const row = this.#options.store.bindings.get(owner, server);
    return row?.generation === generation && row.ended === null;
  }

  /** Waits in the client's stead for the answer to its request. @returns false when it cannot come any more */
  #resume(stream: number, head: StreamHead, sent: Inherited): boolean {
    const attachment = this.#options.store.attachments.get(head.attachment);
    const session = this.#options.manager.byId(sent.session);
    if (!attachment || !session || !this.#expected.has(sent.id)) return false;
    const outbox = this.#options.manager.outboxes.load(stream);
    this.#options.manager.answers.add(outbox);
    const exchange = new Exchange(
      head.method,
      sent.params,
      outletOn(outbox, attachment.client),
      sent.principal,
    );
    exchange.sent = sent;
    exchange.arrived = (answer) => outbox.arrived(answer);
    const ended = this.#options.attachments.inherited(attachment.id).add(head.request, exchange);
    session
      .request(exchange)
      .then(
        (outcome) => end(outbox, head, this.#readable(head, outcome), exchange.record),
        (error: unknown) => {
          if (!exchange.cancelled || session.isClosed)
            return end(outbox, head, failureOf(head, asProxyError(error)), exchange.record);
          // MCP, cancellation: a receiver SHOULD NOT respond to what the client cancelled.
          outbox.release();
          this.#options.manager.answers.forget(stream);
        },
      )
      .finally(ended);
    return true;
  }

  #readable(head: StreamHead, outcome: Outcome): Outcome {
    if ('error' in outcome) return outcome;
    // 2026-07-28: the server wants the request again, with more input. Nobody kept it.
    if (outcome.result.resultType === 'input_required') return failureOf(head, restartedError());
    return { result: this.#options.readable(head.method, outcome.result) };
  }
}

/** Whether a server of scope `call` is the one that the request went to. */
function has(held: Held, { id, pid }: SentRequest): boolean {
  return 'process' in held ? held.process.pid === pid : held.remote.calls.has(id);
}

const RESTARTED = 'ended with the proxy, which was restarted';

function failureOf(head: StreamHead, error: ProxyError): Outcome {
  return head.method === 'tools/call' ? asToolResult(error) : { error: error.toJsonRpc() };
}

function end(
  outbox: Outbox,
  { request }: { request: Id },
  outcome: Outcome,
  record: (() => void) | undefined,
): void {
  outbox.send(toResponse(request, outcome), { last: true, record });
}

/** The client of a request that an earlier process took: it hears, but cannot be asked on that stream any more. */
function outletOn(outbox: Outbox, client: string): Outlet {
  const message = 'The proxy was restarted meanwhile: the client cannot be asked for this request any more.';
  return {
    client: JSON.parse(client) as ClientProfile,
    connected: true,
    notify: (notification) => outbox.send(notification),
    ask: () => ({ answer: Promise.resolve({ error: { code: -32603, message } }), cancel: () => {} }),
  };
}
