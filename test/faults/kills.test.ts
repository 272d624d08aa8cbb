import { expect, test } from 'vitest';
import { Dice, rounds, tell } from '../support/faults.js';
import { Ledger, Writer } from '../support/ledger.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const CLIENTS = 6;

/** Processes that get SIGKILL at some moment of a round. */
type Victim = 'the proxy' | 'a server' | 'all servers';
const VICTIMS: readonly Victim[] = ['the proxy', 'the proxy', 'a server', 'all servers'];

/** A proxy that is killed and started again, and where it is. */
class Mortal implements AsyncDisposable {
  readonly #folder: TemporaryFolder;
  readonly #config: Record<string, unknown>;
  #proxy: Promise<ProxyProcess>;

  constructor(folder: TemporaryFolder, config: Record<string, unknown>) {
    this.#folder = folder;
    this.#config = config;
    this.#proxy = this.#start();
  }

  readonly url = async () => (await this.#proxy).url;

  /** @returns milliseconds from the kill until the next one listens */
  async kill(): Promise<number> {
    const killed = performance.now();
    this.#proxy = (await this.#proxy).kill().then(() => this.#start());
    await this.#proxy;
    return performance.now() - killed;
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
    const kills = { 'the proxy': 0, 'a server': 0, 'all servers': 0 };
    let longest = 0;
    try {
      for (let round = 0; round < rounds(80); round++) {
        const before = done();
        const work = 1 + dice.roll(30);
        await Promise.race([until(() => done() >= before + work), ...load]);
        const victim = dice.pick(VICTIMS);
        kills[victim] += 1;
        if (victim === 'the proxy') longest = Math.max(longest, await proxy.kill());
        else end(victim === 'a server' ? ledger.writers(CLIENTS).slice(-1) : ledger.writers(4 * CLIENTS));
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
      'longest restart ms': Math.round(longest),
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
