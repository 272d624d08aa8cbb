import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { runs } from '../support/child.js';
import { DaemonHouse } from '../support/daemon.js';
import { local, until } from '../support/proxy.js';

const counter = { servers: { counter: local('counter') } };

test('a client that comes back finds its session as it left it', async () => {
  await using house = new DaemonHouse(counter);
  using first = house.client(['--session', 'work']);
  await first.initialize();
  expect(await first.text(1, 'increment')).toBe('1');
  const pid = await first.text(2, 'pid');
  expect(await first.end()).toEqual({ code: 0, signal: null });

  using second = house.client(['--session', 'work']);
  await second.initialize();
  expect(await second.text(1, 'increment')).toBe('2');
  expect(await second.text(2, 'pid')).toBe(pid);
  await second.end();
});

test('two clients that start at once share one daemon, each with a session of its own', async () => {
  await using house = new DaemonHouse(counter);
  using one = house.client();
  using other = house.client();
  await Promise.all([one.initialize(), other.initialize()]);
  expect(await one.text(1, 'increment')).toBe('1');
  expect(await other.text(1, 'increment')).toBe('1');
  expect(await house.status()).toMatchObject({ daemon: true, clients: 2, sessions: 2 });
  expect(statSync(house.socket).mode & 0o777).toBe(0o600);
  await Promise.all([one.end(), other.end()]);
});

test('a call under way when the worker of the daemon is killed is answered with its result, once, by the same server', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  const pid = await client.text(2, 'pid');
  const slow = client.text(3, 'sleep', { ms: 1500 });
  await house.killWorker();
  expect(await slow).toBe('slept 1500');
  expect(await client.text(4, 'increment')).toBe('2');
  expect(await client.text(5, 'pid')).toBe(pid);
  expect(client.messages.map(({ id }) => id)).toEqual(['init', 1, 2, 3, 4, 5]);
  await client.end();
});

test('a daemon that was killed is replaced by the next message, which says what was lost', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client(['--session', 'work']);
  await client.initialize();
  const server = Number(await client.text(1, 'pid'));
  const { pid, worker } = await house.running();
  process.kill(pid, 'SIGKILL');
  await until(() => !runs(pid) && !runs(worker) && !runs(server));
  expect(await client.text(2, 'increment')).toMatch(/lost[^]*\n1$/);
  await client.end();
});

test('stop ends the daemon and its servers; status says so', async () => {
  await using house = new DaemonHouse(counter);
  using client = house.client();
  await client.initialize();
  const server = Number(await client.text(1, 'pid'));
  const { pid, log } = await house.running();
  expect((await house.run('status')).stdout).toContain(`Log: ${log}`);
  expect((await house.run('stop')).stdout).toBe(`Stopped process ${pid}.\n`);
  expect([runs(pid), runs(server)]).toEqual([false, false]);
  expect((await house.run('status')).stdout).toMatch(/^No proxy of this config runs/);
  await client.end();
});
