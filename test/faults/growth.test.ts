import Database from 'better-sqlite3';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RawClient } from '../support/client.js';
import { Dice, rounds, tell } from '../support/faults.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';
import { workerOf } from '../support/worker.js';

const MEBIBYTE = 1024 ** 2;

/** How much is looked at, milliseconds: first until it has settled, then as long again. */
const HALF = rounds(45) * 1000;

/** Resident memory of a process, bytes. */
function memoryOf(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

test.runIf(process.platform === 'linux')(
  'sessions that come and go leave a store and a log of it that do not grow for ever',
  { timeout: 240_000 },
  async () => {
    using folder = new TemporaryFolder();
    const dice = new Dice();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { counter: local('counter') },
      sessions: {
        ...{ ttl: '2s', onTimeout: 'close', retention: '5s', max: 20 },
        outbox: { messages: 20, bytes: '1MiB', age: '2s' },
      },
    });
    const worker = workerOf(proxy);
    const file = join(folder.path, 'store.db');
    const sizes = { wal: 0, half: 0, end: 0 };
    const begun = performance.now();
    const passed = () => performance.now() - begun;
    const memory: number[] = [];
    let [calls, sessions] = [0, 0];
    const visit = async () => {
      const client = await RawClient.open(proxy.url);
      sessions += 1;
      for (let call = 0; call < 20 && passed() < 2 * HALF; call++, calls++) {
        const kind = dice.roll(3);
        if (kind === 0) await client.text('increment');
        else if (kind === 1) await client.text('echo', { text: 'x'.repeat(dice.roll(20_000)) });
        else await client.text('sleep', { ms: 25 }); // long enough to be a stream that is kept
      }
      if (dice.roll(2) === 0) await client.delete();
    };
    const load = Array.from({ length: 4 }, async () => {
      while (passed() < 2 * HALF) await visit();
    });
    const watch = (async () => {
      while (passed() < 2 * HALF) {
        sizes.wal = Math.max(sizes.wal, statSync(`${file}-wal`).size);
        sizes.end = statSync(file).size;
        if (passed() < HALF) sizes.half = sizes.end;
        else memory.push(memoryOf(worker));
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    })();
    await Promise.all([...load, watch]);
    const db = new Database(file, { readonly: true });
    const rows = (table: string) => Number(db.prepare(`SELECT count(*) FROM ${table}`).pluck().get());
    const pages = (name: string) => Number(db.pragma(name, { simple: true }));
    const used = (1 - pages('freelist_count') / pages('page_count')) * 100;
    const left = { sessions: rows('sessions'), outbox: rows('outbox'), events: rows('recent_events') };
    db.close();
    expect(sizes.wal).toBeLessThanOrEqual(64 * MEBIBYTE);
    expect(sizes.end).toBeLessThanOrEqual(2 * Math.max(sizes.half, 4 * MEBIBYTE));
    expect(left.sessions).toBeLessThan(sessions);
    const megabytes = (bytes: number) => (bytes / MEBIBYTE).toFixed(1);
    const third = memory.slice(0, Math.ceil(memory.length / 3));
    const mean = (all: number[]) => all.reduce((sum, one) => sum + one, 0) / all.length;
    tell('sessions that come and go', {
      seed: dice.seed,
      seconds: (2 * HALF) / 1000,
      ...{ sessions, calls },
      'store at half time and at the end, MiB': `${megabytes(sizes.half)} ${megabytes(sizes.end)}`,
      'of it in use, %': Math.round(used),
      'largest log, MiB': megabytes(sizes.wal),
      'sessions left': left.sessions,
      'messages left': left.outbox,
      'memory in the second half, MiB': `${megabytes(mean(third))} to ${megabytes(mean(memory.slice(-third.length)))}`,
    });
  },
);
