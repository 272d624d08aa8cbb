import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Fields } from '../../src/protocol/messages.js';
import type { Dice } from './faults.js';
import { eventsOf, RawClient, textOf, type Received } from './client.js';
import { local, type TemporaryFolder } from './proxy.js';

/** The file in which servers write down what they have really done. */
export class Ledger {
  readonly #file: string;

  constructor(folder: TemporaryFolder) {
    this.#file = join(folder.path, 'ledger.txt');
  }

  /** Config entry of a server that writes into it. */
  get server() {
    return local('ledger', {}, [this.#file]);
  }

  #column(index: number): string[] {
    const lines = existsSync(this.#file) ? readFileSync(this.#file, 'utf8').split('\n') : [];
    return lines.slice(0, -1).map((line) => line.split(' ')[index] ?? '');
  }

  /** What was done, in the order in which it was. */
  get ids(): string[] {
    return this.#column(1);
  }

  /** Servers that wrote the last so many entries and still run, the latest last. */
  writers(last: number): number[] {
    const pids = [...new Set(this.#column(0).slice(-last).map(Number))];
    return pids.filter((pid) => this.#isWriter(pid));
  }

  /** Numbers are given out again: nobody but a server of this ledger is to be taken for one. */
  #isWriter(pid: number): boolean {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.#file);
    } catch {
      return false;
    }
  }
}

/**
 * What a client came to know of its call. done: answered. unknown: told that nobody knows. refused: told that it was not
 * carried out. cut: its connection broke before it knew where to resume.
 */
export type Heard = 'done' | 'unknown' | 'refused' | 'cut';

/** What became of a call of one id; anything but `Heard` is a mistake of the proxy, in words. */
export interface Outcome {
  id: string;
  heard: string;
}

/** Codes that say that a call did not reach its server. */
const REFUSALS = ['SHUTTING_DOWN', 'SERVER_UNAVAILABLE', 'CIRCUIT_OPEN', 'STORE_FAILED'];

/** A client of one session that writes into the ledger, call by call, and comes back to whatever proxy is there. */
export class Writer {
  readonly outcomes: Outcome[] = [];
  readonly #name: string;
  readonly #key: string;
  readonly #dice: Dice;
  /** Where the proxy is, once it is. */
  readonly #url: () => Promise<string>;
  #calls = 0;

  private constructor(name: string, key: string, dice: Dice, url: () => Promise<string>) {
    this.#name = name;
    this.#key = key;
    this.#dice = dice;
    this.#url = url;
  }

  static async open(name: string, dice: Dice, url: () => Promise<string>): Promise<Writer> {
    const client = await RawClient.open(await url());
    if (client.session === undefined) throw new Error('the proxy gave no session id');
    return new Writer(name, client.session, dice, url);
  }

  /** One call, followed until its end. Clients give all their calls the same JSON-RPC id: some do. */
  async write(): Promise<void> {
    const id = `${this.#name}-${++this.#calls}`;
    // Half of the calls take long enough to be streams that can be resumed.
    const wait = () => (this.#dice.roll(2) === 0 ? 0 : this.#dice.roll(60));
    const args = { id, before: wait(), after: wait() };
    const params = { name: 'write', arguments: args };
    const heard = await this.#follow(id, params);
    this.outcomes.push({ id, heard });
    // Who is refused does not ask again at once.
    if (heard === 'refused') await pause(200);
  }

  async #follow(id: string, params: Record<string, unknown>): Promise<string> {
    const place: { event?: string } = {};
    try {
      const client = new RawClient(await this.#url(), this.#key);
      const response = await client.post({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
      const heard = await this.#listen(response, id, place);
      if (heard !== undefined) return heard;
    } catch (error) {
      if (place.event === undefined) return brokenBy(error);
    }
    // The stream broke, and the client knows where: it resumes until it hears the end.
    for (;;) {
      try {
        const client = new RawClient(await this.#url(), this.#key);
        const heard = await this.#listen(await client.stream(place.event), id, place);
        if (heard !== undefined) return heard;
      } catch (error) {
        brokenBy(error);
      }
    }
  }

  /** @returns what the response says of the call; undefined when it ended without a word */
  async #listen(response: Response, id: string, place: { event?: string }): Promise<string | undefined> {
    if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
      return judge((await response.json()) as Received, id);
    }
    for await (const event of eventsOf(response)) {
      if (event.id !== undefined) place.event = event.id;
      if (event.message) return judge(event.message, id);
    }
    return place.event === undefined ? 'answered with an empty stream' : undefined;
  }
}

/** A connection that breaks is the fault under test; all else is none of it. */
function brokenBy(error: unknown): Heard {
  if (error instanceof TypeError) return 'cut'; // how fetch tells of a broken connection
  throw error;
}

function judge(message: Received, id: string): string {
  const said = textOf(message);
  const meta = message.result?._meta as Fields | undefined;
  const code = meta?.['mcp-session-proxy/error'] ?? message.error?.data?.code;
  if (code === 'OUTCOME_UNKNOWN') return 'unknown';
  if (REFUSALS.includes(String(code))) return 'refused';
  // What was lost with an earlier process may be told before the answer.
  return said.split('\n').at(-1) === id ? 'done' : `answered with ${JSON.stringify(message)}`;
}
