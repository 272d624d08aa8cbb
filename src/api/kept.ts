import type { EventQuery, EventView, Snapshot, Summary } from '../admin/door.js';
import { ProxyError } from '../errors.js';
import type { Fields } from '../protocol/messages.js';
import type { Context } from './link.js';
import { HandleState, type FromJson } from './state.js';

export interface LoadOptions {
  /** Whether a name under which nothing is saved gives undefined, as by default, or fails. */
  allowNotExist?: boolean;
  /** The latest by default. */
  revision?: number;
}

/** What a session keeps, whatever becomes of its servers: state, snapshots, events. */
export abstract class Kept {
  /** For ever. */
  readonly id: string;
  /** What it is to remember, as JSON by key. */
  readonly state: HandleState;
  /** @internal */
  protected readonly context: Context;

  /** @internal */
  constructor(context: Context, { id }: { id: string }) {
    this.context = context;
    this.id = id;
    this.state = new HandleState(context, id);
  }

  // -- snapshots -------------------------------------------------------------------------------------------------

  /**
   * Keeps a value under a name, as its next revision; other names stay as they are. Without a value: all own state.
   * @throws {ProxyError} STATE_VALUE_INVALID naming the place that JSON cannot hold, STATE_TOO_LARGE, SESSION_NAME_INVALID
   */
  saveState(name: string, value?: unknown): Promise<Snapshot>;
  saveState<T>(name: string, value: T, toJson: (value: T) => unknown): Promise<Snapshot>;
  saveState<T>(name: string, value: T, toJson?: (value: T) => unknown): Promise<Snapshot> {
    return this.context.door.saveSnapshot(this.id, name, toJson ? toJson(value) : value);
  }

  /** What was last saved under a name. @throws {ProxyError} STATE_NOT_FOUND unless `allowNotExist` */
  loadState(name: string, options?: LoadOptions): Promise<unknown>;
  loadState<T>(name: string, options: LoadOptions & { fromJson: FromJson<T> }): Promise<T | undefined>;
  async loadState(
    name: string,
    { allowNotExist = true, revision, fromJson }: LoadOptions & { fromJson?: FromJson<unknown> } = {},
  ): Promise<unknown> {
    const found = await this.context.door.loadSnapshot(this.id, name, revision);
    if (found) return fromJson ? fromJson(found.value) : found.value;
    if (allowNotExist) return undefined;
    throw new ProxyError('STATE_NOT_FOUND', `Nothing is saved under "${name}" in session ${this.id}.`);
  }

  /** Several of them, by name. @param options `strict` fails where one is missing instead of leaving it out */
  async loadStates(names: readonly string[], { strict = false } = {}): Promise<Fields> {
    const loaded = await Promise.all(
      names.map(async (name) => [name, await this.loadState(name, { allowNotExist: !strict })] as const),
    );
    return Object.fromEntries(loaded.filter(([, value]) => value !== undefined));
  }

  /** The revisions saved under a name, oldest first; without a name the latest of each. */
  savedStates(name?: string): Promise<Snapshot[]> {
    return this.context.door.listSnapshots(this.id, name);
  }

  /** Makes its own state what it was when `saveState(name)` kept it. @returns it @throws {ProxyError} STATE_NOT_FOUND */
  rollback(name: string, revision?: number): Promise<Fields> {
    return this.context.door.rollback(this.id, name, revision);
  }

  // -- events ----------------------------------------------------------------------------------------------------

  /** What happened to it, oldest first: the last so many, or since a time (milliseconds since the epoch). */
  events(query: EventQuery = {}): Promise<EventView[]> {
    return this.context.door.events(this.id, query);
  }

  /** Calls `onevent` for each event from now on, until the returned function is called. */
  follow(onevent: (event: EventView) => void): Promise<() => void> {
    return this.context.door.follow(this.id, onevent);
  }

  /** What was last written to sum up what happened to it; null when nothing was. */
  summary(): Promise<Summary | null> {
    return this.context.door.summary(this.id);
  }

  /**
   * Keeps a text that sums up what happened to it. Events and earlier summaries (`events({ track: 'summary' })`) stay.
   * @param options `upTo`: number of the last event that it covers; by default the last there is
   * @throws {ProxyError} STATE_TOO_LARGE, INVALID_PARAMS
   */
  setSummary(text: string, { upTo }: { upTo?: number } = {}): Promise<Summary> {
    return this.context.door.summarize(this.id, text, upTo);
  }

  /**
   * Sums up what happened since the last summary, which `summarizer` gets with it; nothing when that is nothing.
   *
   * @example
   * const { text, upTo } = await session.summarize((events, before) => model.shorten(before?.text, events));
   */
  async summarize(
    summarizer: (events: EventView[], before: Summary | null) => string | Promise<string>,
  ): Promise<Summary> {
    const before = await this.summary();
    const events = await this.events(before ? { after: before.upTo } : {});
    const upTo = events.at(-1)?.seq;
    if (before && upTo === undefined) return before;
    return this.setSummary(await summarizer(events, before), { upTo: upTo ?? 0 });
  }

  /** Adds an event to a track of the program's own, not counted among the session's. */
  appendEvent(track: string, type: string, data: Fields = {}): Promise<void> {
    return this.context.door.appendEvent(this.id, track, type, data);
  }
}
