import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { CONTROL_PATH, type Attached, type Attaching } from './words.js';
import { NotTaken, type Wire } from './wire.js';

/** A proxy that listens and does not answer is given up after this long, milliseconds; one that stops needs ten seconds. */
const PATIENCE = 30_000;
const RETRY = 50;

export interface PresenceOptions {
  wire: Wire;
  version: string;
  program: string;
  /** Sees to it that a proxy runs. @throws what it said instead */
  start: () => Promise<void>;
  /** Told each time the shim is attached. */
  onattach: (proxy: Attached & { again: false }) => void;
}

/** A shim's stay at the proxy of its config: as long as one request is open, it is attached. */
export class Presence {
  readonly #options: PresenceOptions;
  #attached = false;
  #trying: Promise<boolean> | undefined;
  #awaited: (() => void)[] = [];
  #ended = false;

  constructor(options: PresenceOptions) {
    this.#options = options;
  }

  /**
   * Attaches, unless it is.
   * @param start whether a proxy is started where none runs
   * @returns whether it is attached; false only without `start`
   * @throws what the proxy said that could not be started
   */
  async ensure(start: boolean): Promise<boolean> {
    await this.#trying?.catch(() => {}); // whoever tries hears of it
    if (this.#attached) return true;
    if (this.#trying) return this.ensure(start);
    this.#trying = this.#attach(start).finally(() => (this.#trying = undefined));
    return this.#trying;
  }

  /** Resolves when it is attached the next time. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#awaited.push(resolve));
  }

  end(): void {
    this.#ended = true;
  }

  async #attach(start: boolean): Promise<boolean> {
    const { version, program } = this.#options;
    let settled = false;
    for (const end = Date.now() + PATIENCE; ;) {
      try {
        const attached = await this.#ask({ version, program, settled });
        if (!attached.again) {
          this.#options.onattach(attached);
          for (const resolve of this.#awaited.splice(0)) resolve();
          return true;
        }
        settled = true;
      } catch (error) {
        const nobody = error instanceof NotTaken && error.nobody;
        if (nobody && !start) return false;
        if (nobody) await this.#options.start();
        else if (Date.now() > end) throw error;
        else await delay(RETRY);
      }
    }
  }

  async #ask(attaching: Attaching): Promise<Attached> {
    const { taken, response } = this.#options.wire.send({
      method: 'POST',
      path: `${CONTROL_PATH}/attach`,
      body: JSON.stringify(attaching),
      alone: true,
    });
    await taken;
    const answer = await response;
    const attached = JSON.parse(await firstLine(answer)) as Attached;
    if (answer.statusCode !== 200) throw new Error(`The proxy refuses clients: ${JSON.stringify(attached)}`);
    if (attached.again) return attached;
    this.#attached = true;
    answer.once('close', () => this.#lost());
    answer.resume();
    return attached;
  }

  /** A proxy that goes on under its next worker takes the shim back at once; one that has ended is not started for that. */
  #lost(): void {
    this.#attached = false;
    if (!this.#ended) this.ensure(false).catch(() => {}); // the next message tries again, and tells
  }
}

function firstLine(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const take = (chunk: Buffer) => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\n');
      if (end < 0) return;
      response.off('data', take);
      resolve(text.slice(0, end));
    };
    response.on('data', take);
    response.once('end', () => resolve(text));
    response.once('error', reject);
    response.once('close', () => reject(new Error('The connection to the proxy broke.')));
  });
}
