import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, test } from 'vitest';
import { clearLeftovers, registerInstance } from '../../src/leftovers.js';
import { isRunning, markOf } from '../../src/downstream/process-mark.js';
import { setLogLevel } from '../../src/logger.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import type { ProcessMark } from '../../src/store/types.js';
import { sessionRow } from '../contract/store/medium.js';
import { Lines, runs } from '../support/child.js';
import { fixture, until } from '../support/proxy.js';

setLogLevel('silent');

const processes: ChildProcess[] = [];
afterEach(() => {
  for (const process of processes.splice(0)) process.kill('SIGKILL');
});

/** A process that runs, in a group of its own as our children are. */
async function running(): Promise<ProcessMark> {
  const child = spawn(process.execPath, [fixture('stubborn')], {
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  });
  processes.push(child);
  await new Lines(child.stdout).next();
  const mark = child.pid === undefined ? undefined : markOf(child.pid);
  if (!mark) throw new Error('it has no mark');
  return mark;
}

/** The mark of a process that is no more. */
async function gone(): Promise<ProcessMark> {
  const mark = await running();
  const child = processes.pop();
  child?.kill('SIGKILL');
  if (child) await once(child, 'exit');
  return mark;
}

test('a mark is that of one process and of no other, also not of a later one with its number', async () => {
  const mark = await running();
  expect(isRunning(mark)).toBe(true);
  expect(isRunning({ pid: mark.pid, started: `${mark.started}0` })).toBe(false);
  const other = await running();
  expect(other.started === mark.started && other.pid === mark.pid).toBe(false);
});

test('what is no more has no mark', async () => {
  const mark = await gone();
  expect(markOf(mark.pid)).toBeUndefined();
  expect(isRunning(mark)).toBe(false);
});

test('our own mark stays the same as long as we live', () => {
  expect(markOf(process.pid)).toEqual(markOf(process.pid));
  expect(markOf(process.pid)?.pid).toBe(process.pid);
});

test('children of a proxy that died are ended, its sessions released and it is forgotten', async () => {
  const store = openSqliteStore(':memory:');
  const child = await running();
  store.processes.registerInstance('dead', await gone(), 1);
  store.processes.addChild('dead', child);
  store.sessions.insert(sessionRow('work', { state: 'active', instance: 'dead' }));
  clearLeftovers(store, 50);
  await until(() => !runs(child.pid));
  expect(store.sessions.get('work')).toMatchObject({ state: 'paused', instance: null, updatedAt: 50 });
  expect([store.processes.instances(), store.processes.childrenOf('dead')]).toEqual([[], []]);
  store.close();
});

test('a process that was given the number of a dead child is not touched', async () => {
  const store = openSqliteStore(':memory:');
  const decoy = await running();
  const witness = await running();
  store.processes.registerInstance('dead', await gone(), 1);
  store.processes.addChild('dead', { pid: decoy.pid, started: 'another boot/1' });
  store.processes.addChild('dead', witness);
  clearLeftovers(store, 50);
  await until(() => !runs(witness.pid));
  expect(isRunning(decoy)).toBe(true);
  store.close();
});

test('a proxy whose number was given to another process is dead all the same', async () => {
  const store = openSqliteStore(':memory:');
  const other = await running();
  const child = await running();
  store.processes.registerInstance('dead', { pid: other.pid, started: 'another boot/1' }, 1);
  store.processes.addChild('dead', child);
  clearLeftovers(store, 50);
  await until(() => !runs(child.pid));
  expect(isRunning(other)).toBe(true);
  store.close();
});

test('a proxy that runs keeps its children and sessions', async () => {
  const store = openSqliteStore(':memory:');
  const child = await running();
  registerInstance(store, 'alive', 1);
  store.processes.addChild('alive', child);
  store.sessions.insert(sessionRow('work', { state: 'active', instance: 'alive' }));
  clearLeftovers(store, 50);
  expect(isRunning(child)).toBe(true);
  expect(store.sessions.get('work')?.state).toBe('active');
  expect(store.processes.instances()).toMatchObject([{ id: 'alive', mark: markOf(process.pid) }]);
  store.close();
});
