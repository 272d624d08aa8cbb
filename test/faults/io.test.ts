import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { RawClient } from '../support/client.js';
import { Dice, rounds, tell } from '../support/faults.js';
import { fixture, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { workerOf } from '../support/worker.js';

setLogLevel('silent');

const run = promisify(execFile);

/** Whether system calls can be made to fail here. */
const injects = (() => {
  try {
    execFileSync('strace', ['-f', '-qq', '-e', 'trace=none', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const CALLS = 'pwrite64,fdatasync,fsync';
const WRITES = 30;

/** strace, for what a program writes to a store. */
const tracing = (file: string, trace: string, more: string[] = []) => [
  ...['-f', '--seccomp-bpf', '-qq', '-o', trace, '-P', file, '-P', `${file}-wal`, '-e', `trace=${CALLS}`],
  ...more,
];

const value = JSON.stringify('x'.repeat(3000));

test.runIf(injects)(
  'whichever write or sync of the store fails, once or from then on: what was acknowledged is there, and the store is sound',
  { timeout: 240_000 },
  async () => {
    using folder = new TemporaryFolder();
    const dice = new Dice();
    const writes = (file: string) => [process.execPath, fixture('writes-store'), file, String(WRITES)];
    const trace = join(folder.path, 'trace');
    const counted = join(folder.path, 'counted.db');
    openSqliteStore(counted).close();
    await run('strace', [...tracing(counted, trace), ...writes(counted)]);
    const calls = readFileSync(trace, 'utf8').split('\n').length - 1;
    const counts = { stored: 0, failed: 0, 'told at the start': 0, 'failed, and there': 0 };
    const trials = rounds(300);
    const trial = async (number: number) => {
      const file = join(folder.path, `store-${number}.db`);
      openSqliteStore(file).close();
      const when = `${1 + dice.roll(calls)}${dice.pick(['', '+'])}`;
      const inject = ['-e', `inject=${CALLS}:error=${dice.pick(['EIO', 'ENOSPC'])}:when=${when}`];
      const args = [...tracing(file, `${trace}-${number}`, inject), ...writes(file)];
      const said = await run('strace', args).then(
        ({ stdout }) => stdout,
        ({ stdout, stderr }: { stdout: string; stderr: string }) => {
          // The only way to end but in order is the refusal to open or to close.
          expect(stderr, `seed ${dice.seed}, ${when}`).toMatch(/STORE_FAILED|SQLITE_/);
          if (!stdout.includes('open')) counts['told at the start'] += 1;
          return stdout;
        },
      );
      const store = openSqliteStore(file);
      store.check();
      for (const [, word, key] of said.matchAll(/^(stored|failed) (\d+)$/gm)) {
        const found = store.state.get('session', 'one', `key-${key}`)?.value;
        if (word === 'stored') expect(found, `seed ${dice.seed}, ${when}, write ${key}`).toBe(value);
        else if (found !== undefined) counts['failed, and there'] += 1;
        counts[word === 'stored' ? 'stored' : 'failed'] += 1;
      }
      store.close();
    };
    for (let number = 0; number < trials; number += 2)
      await Promise.all([trial(number), ...(number + 1 < trials ? [trial(number + 1)] : [])]);
    expect(counts.failed).toBeGreaterThan(0);
    tell('writes and syncs that fail', { seed: dice.seed, trials, 'system calls each': calls, ...counts });
  },
);

test.runIf(process.platform === 'linux')(
  'a disk that fills up under load: every call that took place is answered, the next ones are refused, and all goes on',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
    const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(proxy.url)));
    const done = clients.map(() => 0);
    let [full, refused, refusing, over] = [false, 0, 0, false];
    const worst = { answered: 0, refused: 0 };
    const load = clients.map(async (client, index) => {
      while (!over) {
        const begun = performance.now();
        const wasFull = full;
        const answer = await client.call(index % 2 === 0 ? 'increment' : 'sleep', { ms: 40 });
        const code = (answer.result?._meta as Record<string, unknown> | undefined)?.[
          'mcp-session-proxy/error'
        ];
        if (code === undefined) {
          done[index] = (done[index] ?? 0) + 1;
          if (wasFull && full) worst.answered += 1;
        } else {
          expect(code).toBe('STORE_FAILED');
          refused += 1;
          refusing = performance.now();
          worst.refused = Math.max(worst.refused, performance.now() - begun);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    });
    const limit = (bytes: string) =>
      execFileSync('prlimit', ['--pid', String(workerOf(proxy)), `--fsize=${bytes}:unlimited`]);
    const times = rounds(10);
    let longest = 0;
    for (let time = 0; time < times; time++) {
      const before = refused;
      limit('1');
      full = true;
      await until(() => refused > before + 20);
      full = false;
      limit('unlimited');
      const room = performance.now();
      const served = [...done];
      await until(() => done.every((count, index) => count > (served[index] ?? 0)));
      longest = Math.max(longest, refusing - room);
    }
    over = true;
    await Promise.all(load);
    // Nothing was carried out that was refused, and nothing answered that was not.
    for (const [index, client] of clients.entries())
      if (index % 2 === 0) expect(await client.text('get')).toBe(String(done[index]));
    tell('a disk that fills up under load', {
      times,
      answered: done.reduce((sum, count) => sum + count, 0),
      'begun while full and answered': worst.answered,
      refused,
      'slowest refusal, ms': Math.round(worst.refused),
      'refused for so long after there was room, ms': Math.round(longest),
    });
  },
);
