import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { patient } from '../../src/downstream/patience.js';
import type { Command, ServerProcess } from '../../src/downstream/process.js';
import { setLogLevel } from '../../src/logger.js';
import { ManualClock } from '../support/clock.js';

setLogLevel('silent');

const COMMAND: Command = { command: 'server', args: [], env: {}, cwd: '.', private: false };

function started(): ServerProcess {
  return {
    pid: 1,
    marker: '',
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    exited: new Promise(() => {}),
    remember: () => {},
    forget: () => {},
  };
}

const refusal = (code: string) => Object.assign(new Error(`spawn ${code}`), { code });

/** A system that says `code` so many times. */
function system(code: string, times: number) {
  const clock = new ManualClock();
  const tries: number[] = [];
  const start = () => {
    tries.push(clock.steady());
    return tries.length <= times ? Promise.reject(refusal(code)) : Promise.resolve(started());
  };
  return { clock, tries, spawn: patient(start, clock, () => 0) };
}

/** Time goes by, so many times 50 ms. */
async function passes(clock: ManualClock, steps: number): Promise<void> {
  await new Promise(setImmediate);
  for (let step = 0; step < steps; step++) await clock.advance(50);
}

test.each(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE'])(
  'a process for which the system has no room (%s) is started when there is some, and each wait is twice the one before',
  async (code) => {
    const { clock, tries, spawn } = system(code, 4);
    const process = spawn(COMMAND);
    await passes(clock, 20);
    expect((await process).pid).toBe(1);
    expect(tries).toEqual([0, 50, 150, 350, 750]);
  },
);

test('after eight tries it fails with what the system said', async () => {
  const { clock, tries, spawn } = system('EAGAIN', Infinity);
  const process = expect(spawn(COMMAND)).rejects.toMatchObject({ code: 'EAGAIN' });
  await passes(clock, 200);
  await process;
  expect(tries).toHaveLength(8);
  expect(clock.pending).toBe(0);
});

test('what has nothing to do with room fails at once', async () => {
  const { tries, spawn } = system('ENOENT', Infinity);
  await expect(spawn(COMMAND)).rejects.toMatchObject({ code: 'ENOENT' });
  expect(tries).toEqual([0]);
});

test('eight processes are started at a time, and the others in the order in which they came', async () => {
  const waiting: ((process: ServerProcess) => void)[] = [];
  const spawn = patient(() => new Promise((resolve) => waiting.push(resolve)), new ManualClock());
  const done: number[] = [];
  const all = Array.from({ length: 20 }, (_, number) => spawn(COMMAND).then(() => done.push(number)));
  expect(waiting).toHaveLength(8);
  for (let number = 0; number < 20; number++) {
    expect(waiting.length).toBe(Math.min(20, number + 8));
    waiting[number]?.(started());
    await new Promise(setImmediate);
  }
  await Promise.all(all);
  expect(done).toEqual(Array.from({ length: 20 }, (_, number) => number));
});

test('a process that is not wanted any more is not started, and waits no longer', async () => {
  const { clock, tries, spawn } = system('EAGAIN', Infinity);
  const unwanted = new AbortController();
  const process = expect(spawn(COMMAND, unwanted.signal)).rejects.toMatchObject({ name: 'AbortError' });
  await passes(clock, 0);
  unwanted.abort();
  await process;
  expect([tries.length, clock.pending]).toEqual([1, 0]);
});
