import { expect, test } from 'vitest';
import { Dice, rounds, tell } from '../support/faults.js';
import { Ledger, Writer } from '../support/ledger.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { killWorker } from '../support/worker.js';

const CLIENTS = 6;
const MOST_WORKERS = 3;

/** Processes that get SIGKILL at some moment of a round. */
type Victim = 'worker' | 'keeper' | 'server' | 'all servers';
const VICTIMS: readonly Victim[] = ['worker', 'worker', 'keeper', 'server', 'all servers'];

/** A proxy that is killed and started again, and where it is. */
class Mortal implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #config: Record<string, unknown>;
  #proxy: Promise<ProxyProcess>;
  /** Of the present keeper. */
  workersKilled = 0;

  constructor(folder: TemporaryFolder, config: Record<string, unknown>) {
    this.#folder = folder;
    this.#config = config;
    this.#proxy = this.#start();
  }

  readonly url = async () => (await this.#proxy).url;

  /** The whole proxy, with all it holds. */
  async kill(): Promise<void> {
    this.workersKilled = 0;
    this.#proxy = (await this.#proxy).kill().then(() => this.#start());
    await this.#proxy;
  }

  /** The worker alone: its keeper starts the next one. */
  async killWorker(): Promise<void> {
    this.workersKilled += 1;
    await killWorker(await this.#proxy);
  }

  #start(): Promise<ProxyProcess> {
    return ProxyProcess.start(this.#folder, this.#config);
  }

  async stop() {
    return (await this.#proxy).stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#proxy)[Symbol.asyncDispose]();
  }
}

test(
  'whatever is killed under load: nothing answered is lost, nothing is done twice, no answer is crossed, all else is told',
  { timeout: 240_000 },
  async () => {
    using folder = new TemporaryFolder();
    const dice = new Dice();
    const ledger = new Ledger(folder);
    await using proxy = new Mortal(folder, { servers: { ledger: ledger.server } });
    const names = Array.from({ length: CLIENTS }, (_, index) => `client${index}`);
    const writers = await Promise.all(names.map((name) => Writer.open(name, dice, proxy.url)));
    let over = false;
    const load = writers.map(async (writer) => {
      while (!over) await writer.write();
    });
    const done = () => ledger.ids.length;
    const kills = { worker: 0, keeper: 0, server: 0, 'all servers': 0 };
    const longest = { worker: 0, keeper: 0, server: 0, 'all servers': 0 };
    try {
      for (let round = 0; round < rounds(80); round++) {
        const before = done();
        const work = 1 + dice.roll(30);
        await Promise.race([until(() => done() >= before + work), ...load]);
        // A keeper whose workers die again and again gives up, and rightly so.
        const drawn = dice.pick(VICTIMS);
        const victim = drawn === 'worker' && proxy.workersKilled === MOST_WORKERS ? 'keeper' : drawn;
        kills[victim] += 1;
        const killed = performance.now();
        if (victim === 'keeper') await proxy.kill();
        else if (victim === 'worker') await proxy.killWorker();
        else end(victim === 'server' ? ledger.writers(CLIENTS).slice(-1) : ledger.writers(4 * CLIENTS));
        longest[victim] = Math.max(longest[victim], performance.now() - killed);
      }
      // The same ids go on: every client is served once more.
      const before = writers.map(({ outcomes }) => outcomes.length);
      const served = () =>
        writers.every(({ outcomes }, index) =>
          outcomes.slice(before[index]).some(({ heard }) => heard === 'done'),
        );
      await Promise.race([until(served), ...load]);
    } finally {
      over = true;
      await Promise.all(load);
    }
    const last = ledger.writers(4 * CLIENTS);
    expect(await proxy.stop()).toEqual({ code: 0, signal: null });
    expect(last.filter(isAlive)).toEqual([]);

    const outcomes = writers.flatMap((writer) => writer.outcomes);
    const of = (heard: string) => outcomes.filter((one) => one.heard === heard).map(({ id }) => id);
    const [ids, known] = [ledger.ids, new Set(ledger.ids)];
    const seed = `seed ${dice.seed}`;
    const mistakes = outcomes.filter(({ heard }) => !['done', 'unknown', 'refused', 'cut'].includes(heard));
    expect(mistakes, seed).toEqual([]);
    expect(
      of('done').filter((id) => !known.has(id)),
      `${seed}: answered, and not done`,
    ).toEqual([]);
    expect(
      of('refused').filter((id) => known.has(id)),
      `${seed}: refused, and done`,
    ).toEqual([]);
    expect(ids.length - known.size, `${seed}: done twice`).toBe(0);
    tell('kill -9 under load', {
      seed: dice.seed,
      ...kills,
      calls: outcomes.length,
      done: of('done').length,
      'outcome unknown': of('unknown').length,
      refused: of('refused').length,
      'connection cut': of('cut').length,
      'longest ms without a worker': Math.round(longest.worker),
      'longest ms without a keeper': Math.round(longest.keeper),
    });
  },
);

function end(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It went with its proxy.
    }
  }
}
