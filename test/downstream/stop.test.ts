import { afterAll, expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { RunningChild, runs } from '../support/child.js';
import { until } from '../support/proxy.js';

setLogLevel('silent');

const started: number[] = [];
afterAll(() => {
  for (const pid of started) if (runs(pid)) process.kill(pid, 'SIGKILL');
});

test('a process that leaves at the end of its input is not signalled', async () => {
  await using running = await RunningChild.start('stubborn', ['end']);
  await running.line();
  await running.child.stop();
  expect([await running.line(), await running.line()]).toEqual(['end of input', undefined]);
  expect(await running.child.exited).toBe('exited with code 0');
});

test('after two seconds comes SIGTERM', async () => {
  await using running = await RunningChild.start('stubborn', ['term']);
  await running.line();
  const stopped = running.child.stop();
  expect(await running.line()).toBe('end of input');
  await running.clock.advance(1999);
  expect(runs(running.pid)).toBe(true);
  await running.clock.advance(1);
  expect(await running.line()).toBe('SIGTERM');
  await stopped;
  expect(await running.child.exited).toBe('exited with code 0');
});

test('after three more comes SIGKILL', async () => {
  await using running = await RunningChild.start('stubborn');
  await running.line();
  const stopped = running.child.stop();
  expect(await running.line()).toBe('end of input');
  await running.clock.advance(2000);
  expect(await running.line()).toBe('SIGTERM');
  await running.clock.advance(2999);
  expect(runs(running.pid)).toBe(true);
  await running.clock.advance(1);
  await stopped;
  expect(await running.child.exited).toBe('was ended by SIGKILL');
});

test('stopping twice is stopping once', async () => {
  await using running = await RunningChild.start('stubborn', ['end']);
  await running.line();
  const stops = [running.child.stop(), running.child.stop()];
  await Promise.all(stops);
  await running.child.stop();
  expect(running.ended).toHaveLength(1);
});

test('a process that has left already needs no stop', async () => {
  await using running = await RunningChild.start('exits', ['0']);
  await running.child.exited;
  await running.child.stop();
});

test('what a process leaves behind in its group gets SIGTERM at once', async () => {
  await using running = await RunningChild.start('leaves-child', ['term']);
  const grandchild = Number(await running.line());
  started.push(grandchild);
  expect(runs(grandchild)).toBe(true);
  await running.child.stop();
  await until(() => !runs(grandchild));
});

test('what is left of the group one second later gets SIGKILL', async () => {
  await using running = await RunningChild.start('leaves-child');
  const grandchild = Number(await running.line());
  started.push(grandchild);
  await running.child.stop();
  await running.clock.advance(999);
  expect(runs(grandchild)).toBe(true);
  await running.clock.advance(1);
  await until(() => !runs(grandchild));
});

test('a server is stopped by the steps its config names, each with its own wait', async () => {
  const stop = [
    { signal: 'SIGTERM', target: 'process', wait: 700 },
    { stdin: 'close', wait: 400 },
  ] as const;
  await using running = await RunningChild.start('stubborn', [], { stop });
  await running.line();
  const stopped = running.child.stop();
  expect(await running.line()).toBe('SIGTERM');
  await running.clock.advance(700);
  expect(await running.line()).toBe('end of input');
  await running.clock.advance(399);
  expect(runs(running.pid)).toBe(true);
  await running.clock.advance(1);
  await stopped;
  expect(await running.child.exited).toBe('was ended by SIGKILL');
});
