import { randomUUID } from 'node:crypto';
import { isFields } from '../protocol/messages.js';

/** Tells the keeper what the next worker is to know, by key; an empty text is forgotten. Without a keeper, nobody. */
export type Remember = (key: string, text: string) => void;

/** A session at a remote server as one worker leaves it to the next. */
export interface RemoteSession {
  /** Under which it is remembered. */
  readonly key: string;
  /** The `Mcp-Session-Id`, where the server gave one. A credential: it is never on disk. */
  readonly id: string | undefined;
  /** The last event of the server's own stream. */
  readonly event: string | undefined;
  /** Of each request under way that can be resumed the last event, by the request's id. */
  readonly calls: ReadonlyMap<number, string>;
}

const SESSION = 'remote session ';
const EVENTS = 'remote events ';

/** What is remembered of one remote session, as it changes. */
export class RemoteNotes {
  readonly #remember: Remember;
  readonly #key: string;
  readonly #calls: Map<number, string>;
  #event: string | undefined;
  /** Without a label it would not be found again. */
  #labelled: boolean;

  /** @param held the session that is gone on with */
  constructor(remember: Remember, held: RemoteSession | undefined) {
    this.#remember = remember;
    this.#key = held?.key ?? randomUUID();
    this.#event = held?.event;
    this.#calls = new Map(held?.calls);
    this.#labelled = held !== undefined;
  }

  session(label: string, id: string | undefined): void {
    this.#labelled = true;
    this.#remember(SESSION + this.#key, JSON.stringify({ label, id }));
    this.#told();
  }

  /** An event came on the server's own stream. */
  streamed(event: string): void {
    this.#event = event;
    this.#told();
  }

  /** An event that is not the answer came on the stream of a request. */
  called(id: number, event: string): void {
    this.#calls.set(id, event);
    this.#told();
  }

  /** The answer to a request came, and is stored. */
  answered(id: number): void {
    if (this.#calls.delete(id)) this.#told();
  }

  /** The session is over. */
  forget(): void {
    if (this.#labelled) for (const part of [SESSION, EVENTS]) this.#remember(part + this.#key, '');
    this.#labelled = false;
  }

  #told(): void {
    const events = { event: this.#event, calls: [...this.#calls] };
    if (this.#labelled) this.#remember(EVENTS + this.#key, JSON.stringify(events));
  }
}

/** The sessions that an earlier worker had remembered, each with its label. */
export function remoteSessions(
  remembered: ReadonlyMap<string, string>,
): { label: string; remote: RemoteSession }[] {
  return [...remembered].flatMap(([name, text]) => {
    if (!name.startsWith(SESSION)) return [];
    const key = name.slice(SESSION.length);
    const { label, id } = parsed(text);
    const { event, calls } = parsed(remembered.get(EVENTS + key));
    if (typeof label !== 'string') return [];
    const remote: RemoteSession = {
      key,
      id: typeof id === 'string' ? id : undefined,
      event: typeof event === 'string' ? event : undefined,
      calls: new Map(Array.isArray(calls) ? calls.filter(isCall) : []),
    };
    return [{ label, remote }];
  });
}

function parsed(text = '{}') {
  const value: unknown = JSON.parse(text);
  return isFields(value) ? value : {};
}

function isCall(value: unknown): value is [number, string] {
  return Array.isArray(value) && typeof value[0] === 'number' && typeof value[1] === 'string';
}
