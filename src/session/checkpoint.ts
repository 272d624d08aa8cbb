import type { Clock } from '../clock.js';
import { globMatches } from '../config/glob.js';
import type { ServerConfig } from '../config/schema.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isFields, type Fields, type Outcome } from '../protocol/messages.js';
import type { Store } from '../store/types.js';
import { fillFields, lookUp, runSteps, textOf, type CallTool, type Values } from './steps.js';

/** After so many failures in a row to bring a state back it is given up, and the next start is an empty one. */
const RESTORE_ATTEMPTS = 3;

/** Of a failed step's text, so many characters are quoted. */
const QUOTED = 300;

/** What was brought back into a server that was started anew. */
export interface Restored {
  /** When, milliseconds since the epoch. */
  at: number;
  /** When the state was saved. */
  saved?: number;
  /** Recorded calls that were sent again. */
  replayed?: number;
  /** Companions that went on, and with them what they hold; nothing was saved or brought back. */
  kept?: string[];
  /** What the config says of the rest. */
  note?: string;
}

/** Sends a request to the server. */
type Call = (method: string, params: Fields) => Promise<Outcome>;

export interface CheckpointOptions {
  store: Store;
  clock: Clock;
  config: ServerConfig;
  owner: string;
}

/**
 * The state of a server as it is saved after calls and brought back after a loss: by tool calls that its config names.
 * What is saved stands in the server's own files or in captured values; two slots take turns, so that a save that is
 * cut short never spoils the one before.
 */
export class Checkpoints {
  readonly #options: CheckpointOptions;
  #call: Call = () => Promise.reject(new Error('no server'));
  #session: Fields = {};
  /** There were calls since the last checkpoint. */
  #dirty = false;
  #failures = 0;

  constructor(options: CheckpointOptions) {
    this.#options = options;
  }

  get dirty(): boolean {
    return this.#dirty;
  }

  /**
   * A new generation runs, or one that an earlier process began and may not have saved.
   * @param variables of its start, like session.dir
   */
  begin(call: Call, variables: Readonly<Record<string, string>>, dirty = false): void {
    this.#call = call;
    this.#session = Object.fromEntries(
      Object.entries(variables).map(([name, value]) => [name.replace(/^session\./, ''), value]),
    );
    this.#dirty = dirty;
  }

  /**
   * Brings back what the generation before had.
   * @param kept companions that still hold it: then there is nothing to bring
   * @returns undefined when there was nothing to bring back
   * @throws {ProxyError} RESTORE_FAILED
   */
  async restore(kept?: string[]): Promise<Restored | undefined> {
    const { store, clock, config, owner } = this.#options;
    if (kept) {
      this.#dirty = true; // the last call may not have come to be saved
      return { at: clock.now(), kept, ...noteOf(config, kept) };
    }
    const saved = this.#saved();
    const recorded = store.checkpoints.recorded(owner, config.name);
    try {
      const { made } = await runSteps(config.restore?.calls ?? [], this.#values(), this.#tool);
      for (const { tool, args } of recorded) await this.#tool(tool, JSON.parse(args) as Fields);
      this.#failures = 0;
      if (made + recorded.length === 0 && !this.#restoresItself()) return undefined;
    } catch (error) {
      throw await this.#failed(error);
    }
    const note = config.restore?.note;
    return {
      at: clock.now(),
      ...(saved && { saved: saved.at }),
      ...(recorded.length > 0 && { replayed: recorded.length }),
      ...(note !== undefined && { note }),
    };
  }

  /** Whether the server still has what was saved, asked before a call. @returns how it shows that it has not */
  async probe(): Promise<string | undefined> {
    const { probe } = this.#options.config;
    const values = this.#values();
    if (!probe || !this.#keeps()) return undefined;
    if (probe.unless !== undefined && lookUp(values, probe.unless) !== undefined) return undefined;
    const outcome = await this.#call('tools/call', {
      name: probe.tool,
      arguments: fillFields(probe.args, values),
    });
    const text = 'result' in outcome ? textOf(outcome.result) : outcome.error.message;
    return new RegExp(probe.lostIf, 'm').test(text) ? quote(text) : this.lossIn(outcome);
  }

  /** The words by which an outcome says that the state is gone. */
  lossIn(outcome: Outcome): string | undefined {
    const text = 'result' in outcome ? textOf(outcome.result) : outcome.error.message;
    for (const pattern of this.#options.config.lostWhen) {
      const [found] = new RegExp(pattern, 'm').exec(text) ?? [];
      if (found !== undefined) return quote(found);
    }
    return undefined;
  }

  /** Sees to what a call that was answered calls for; resolves when it is on disk. */
  async after(params: Fields | undefined, outcome: Outcome): Promise<void> {
    const { store, config, owner } = this.#options;
    const tool = String(params?.name);
    const isIn = (patterns: readonly string[]) => patterns.some((pattern) => globMatches(pattern, tool));
    this.#dirty = true;
    // What a failed call left is seen to by the next one that succeeds, or by the clock.
    if ('error' in outcome || outcome.result.isError === true) return;
    if (isIn(config.checkpoint?.dropAfter ?? [])) return this.#forget();
    if (isIn(config.replay.allow)) {
      const args = JSON.stringify(isFields(params?.arguments) ? params.arguments : {});
      await store.write(() => store.checkpoints.record(owner, config.name, tool, args));
    }
    if (isIn(config.checkpoint?.after ?? [])) await this.save();
  }

  /**
   * Makes a checkpoint. A failure is logged: the checkpoint before stays, and the call that led here is not at fault.
   * @param probed not before a probe has found the state in place
   */
  async save(probed = false): Promise<void> {
    const { store, clock, config, owner } = this.#options;
    if (!config.checkpoint) return;
    const slot = this.#saved()?.slot === 0 ? 1 : 0;
    const about = { server: config.name, owner };
    try {
      const lost = probed ? await this.probe() : undefined;
      if (lost !== undefined) return log.session.warn(about, `No checkpoint: the state is gone (${lost}).`);
      const values = { ...this.#values(), checkpoint: { slot } };
      const { captured } = await runSteps(config.checkpoint.calls, values, this.#tool);
      const row = { owner, server: config.name, slot, at: clock.now(), captured: JSON.stringify(captured) };
      await store.write(() => store.checkpoints.put(row));
      this.#dirty = false;
    } catch (error) {
      log.session.warn(about, `No checkpoint: ${messageOf(error)}`);
    }
  }

  readonly #tool: CallTool = async (tool, args) => {
    const outcome = await this.#call('tools/call', { name: tool, arguments: args });
    if ('error' in outcome) throw new ProxyError('SERVER_UNAVAILABLE', `${tool}: ${outcome.error.message}`);
    const { result } = outcome;
    if (result.isError === true)
      throw new ProxyError('SERVER_UNAVAILABLE', `${tool}: ${quote(textOf(result))}`);
    return result;
  };

  /** A config with a note and no calls says that the server finds its state in its own files. */
  #restoresItself(): boolean {
    const { restore } = this.#options.config;
    return restore?.note !== undefined && restore.calls.length === 0;
  }

  /** Whether there is anything that the server should hold. */
  #keeps(): boolean {
    const { store, config, owner } = this.#options;
    return this.#saved() !== undefined || store.checkpoints.recorded(owner, config.name).length > 0;
  }

  #saved() {
    return this.#options.store.checkpoints.get(this.#options.owner, this.#options.config.name);
  }

  #values(): Values {
    const saved = this.#saved();
    return {
      session: this.#session,
      checkpoint: saved ? { slot: saved.slot } : {},
      capture: saved ? (JSON.parse(saved.captured) as Fields) : {},
    };
  }

  async #forget(): Promise<void> {
    const { store, config, owner } = this.#options;
    this.#dirty = false;
    await store.write(() => store.checkpoints.delete(owner, config.name));
  }

  async #failed(error: unknown): Promise<ProxyError> {
    const { config } = this.#options;
    this.#failures += 1;
    const givenUp = this.#failures >= RESTORE_ATTEMPTS;
    if (givenUp) {
      this.#failures = 0;
      await this.#forget();
    }
    const next = givenUp
      ? `It is given up after ${RESTORE_ATTEMPTS} attempts: the next call starts the server with nothing.`
      : 'The next call tries again.';
    return new ProxyError(
      'RESTORE_FAILED',
      `Server "${config.name}" was started anew, but its state could not be restored: ${messageOf(error)} ` +
        `The request was not sent. ${next}`,
      { cause: error },
    );
  }
}

/** What the config says of companions that went on. */
function noteOf(config: ServerConfig, kept: readonly string[]): Pick<Restored, 'note'> {
  if (config.kind !== 'local') return {};
  const notes = kept.flatMap((name) => config.companions[name]?.note ?? []);
  return notes.length > 0 ? { note: notes.join(' ') } : {};
}

function quote(text: string): string {
  const line = text.trim().replace(/\s+/g, ' ');
  return line.length > QUOTED ? `${line.slice(0, QUOTED)}…` : line;
}
