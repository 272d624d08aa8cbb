import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { stateFolderOf } from '../../src/config/places.js';
import { socketIn } from '../../src/keeper/find-daemon.js';
import { runs } from '../support/child.js';
import { CLI, local, TemporaryFolder, until } from '../support/proxy.js';
import { StdioProxy } from '../support/stdio-proxy.js';

const servers = { counter: local('counter') };

/** A folder with a config, and the daemon that serves it, which is gone with the test. */
class House {
  readonly folder = new TemporaryFolder();
  readonly env = { ...process.env, XDG_STATE_HOME: join(this.folder.path, 'state') };

  client(...args: string[]): StdioProxy {
    return new StdioProxy(this.folder, servers, ['--daemon', ...args], {}, this.env);
  }

  command(name: string): string {
    const config = join(this.folder.path, 'mcp-proxy.yaml');
    return execFileSync(process.execPath, [CLI, name, '--config', config], {
      env: this.env,
      encoding: 'utf8',
    });
  }

  /** Process of the keeper. */
  get pid(): number {
    return Number(/process (\d+)/.exec(this.command('status'))?.[1]);
  }

  async end(): Promise<void> {
    const { pid } = this;
    this.command('stop');
    if (pid) await until(() => !runs(pid));
    this.folder[Symbol.dispose]();
  }
}

const houses: House[] = [];
afterEach(async () => {
  for (const house of houses.splice(0)) await house.end();
});

function build(): House {
  const house = new House();
  houses.push(house);
  return house;
}

test('a client that comes back finds its session as it left it', async () => {
  const house = build();
  using first = house.client('--session', 'work');
  await first.initialize();
  expect(await first.text(1, 'increment')).toBe('1');
  const pid = await first.text(2, 'pid');
  expect(await first.end()).toEqual({ code: 0, signal: null });

  using second = house.client('--session', 'work');
  await second.initialize();
  expect(await second.text(1, 'increment')).toBe('2');
  expect(await second.text(2, 'pid')).toBe(pid);
});

test('two clients that start at once share one daemon, each with a session of its own', async () => {
  const house = build();
  using one = house.client();
  using other = house.client();
  await Promise.all([one.initialize(), other.initialize()]);
  expect(await one.text(1, 'increment')).toBe('1');
  expect(await other.text(1, 'increment')).toBe('1');
  expect(house.command('status')).toMatch(/: 2 clients, 2 sessions/);
  const { mode } = statSync(socketIn(stateFolderOf(join(house.folder.path, 'mcp-proxy.yaml'), house.env)));
  expect(mode & 0o777).toBe(0o600);
});

test('a client goes on when the worker of the daemon is killed, and is told of the call that was under way', async () => {
  const house = build();
  using client = house.client();
  await client.initialize();
  expect(await client.text(1, 'increment')).toBe('1');
  const pid = await client.text(2, 'pid');
  const slow = client.text(3, 'sleep', { ms: 60_000 });
  const worker = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .find((line) => line.includes(' worker ') && line.trim().split(/\s+/)[1] === String(house.pid));
  process.kill(Number(worker?.trim().split(/\s+/)[0]), 'SIGKILL');
  expect(await slow).toMatch(/outcome is unknown/);
  expect(await client.text(4, 'increment')).toBe('2');
  expect(await client.text(5, 'pid')).toBe(pid);
});

test('a daemon that was killed is replaced by the next client, also where its socket was left behind', async () => {
  const house = build();
  using first = house.client('--session', 'work');
  await first.initialize();
  const server = Number(await first.text(1, 'pid'));
  await first.end();
  const { pid } = house;
  process.kill(pid, 'SIGKILL');
  await until(() => !runs(pid) && !runs(server));

  using second = house.client('--session', 'work');
  await second.initialize();
  expect(await second.text(1, 'increment')).toMatch(/lost[^]*\n1$/);
});

test('stop ends the daemon and its servers; status says so', async () => {
  const house = build();
  using client = house.client();
  await client.initialize();
  const server = Number(await client.text(1, 'pid'));
  const { pid } = house;
  await client.end();
  expect(house.command('stop')).toBe('The daemon stops.\n');
  await until(() => !runs(pid));
  expect(runs(server)).toBe(false);
  expect(house.command('status')).toBe('No daemon runs for this config.\n');
});
