import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { LOCAL_PRINCIPAL } from '../../src/auth/principal.js';
import { CONTROL_PATH } from '../../src/daemon/words.js';
import { Control, type ControlOptions } from '../../src/daemon/control.js';
import { Presence } from '../../src/daemon/presence.js';
import { Wire } from '../../src/daemon/wire.js';
import { setLogLevel } from '../../src/logger.js';
import { Listener } from '../../src/upstream/listener.js';
import { isNewer } from '../../src/version.js';
import { ManualClock } from '../support/clock.js';
import { TemporaryFolder, until } from '../support/proxy.js';

setLogLevel('silent');

const MINUTE = 60_000;
const LISTEN = { host: '', port: 0, path: '/mcp', allowedHosts: [], allowedOrigins: [], maxBody: 1024 };

/** The control of a daemon, on a socket of its own, with its clock in the test's hands. */
class Desk implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly folder = new TemporaryFolder();
  readonly log = join(this.folder.path, 'daemon.log');
  readonly wire = new Wire(join(this.folder.path, 'sock'));
  running = 0;
  stopped = false;
  changed = false;
  /** What the keeper would answer. */
  verdict: string | undefined;
  readonly upgrades: (string | undefined)[] = [];
  readonly #listener: Listener;

  constructor(more: Partial<ControlOptions> = {}) {
    const control = new Control({
      clock: this.clock,
      about: {
        version: '1.2.3',
        pid: 1,
        worker: 2,
        daemon: true,
        config: 'c.yaml',
        socket: 'sock',
        url: null,
        log: this.log,
      },
      running: () => Promise.resolve(this.running),
      changed: () => this.changed,
      upgrade: (program) => {
        this.upgrades.push(program);
        return Promise.resolve(this.verdict);
      },
      stop: () => (this.stopped = true),
      idle: 10 * MINUTE,
      ...more,
    });
    this.#listener = new Listener(LISTEN, control.routes, {
      authenticate: () => LOCAL_PRINCIPAL,
      local: true,
    });
  }

  static async open(more: Partial<ControlOptions> = {}): Promise<Desk> {
    const desk = new Desk(more);
    await desk.#listener.listen(async (server) => {
      server.listen(join(desk.folder.path, 'sock'));
      await once(server, 'listening');
    });
    return desk;
  }

  /** A shim of that version that attaches. */
  async attach(version = '1.2.3'): Promise<{ presence: Presence; warnings: string[] }> {
    const told: string[] = [];
    const presence = new Presence({
      wire: this.wire,
      version,
      program: `/program/of/${version}`,
      start: () => Promise.reject(new Error('nobody is there')),
      onattach: ({ warnings }) => told.push(...warnings),
    });
    await presence.ensure(true);
    return { presence, warnings: told };
  }

  async clients(): Promise<number> {
    const { text } = await this.wire.ask({ method: 'GET', path: CONTROL_PATH });
    return (JSON.parse(text) as { clients: number }).clients;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.wire.close();
    await this.#listener.close();
    this.folder[Symbol.dispose]();
  }
}

test('a daemon that nobody needs ends after its idle time, and not before', async () => {
  await using desk = await Desk.open();
  await desk.clock.advance(9 * MINUTE);
  expect(desk.stopped).toBe(false);
  await desk.clock.advance(MINUTE + 30_000);
  expect(desk.stopped).toBe(true);
});

test('neither one with running servers ends, nor one with a client, however long that says nothing', async () => {
  await using desk = await Desk.open();
  desk.running = 1;
  await desk.clock.advance(60 * MINUTE);
  expect(desk.stopped).toBe(false);
  desk.running = 0;
  const { presence } = await desk.attach();
  await until(async () => (await desk.clients()) === 1);
  await desk.clock.advance(60 * MINUTE);
  expect(desk.stopped).toBe(false);
  presence.end();
});

test('one that is to stay is not ended by idleness', async () => {
  await using desk = await Desk.open({ idle: undefined });
  await desk.clock.advance(24 * 60 * MINUTE);
  expect(desk.stopped).toBe(false);
});

test('a shim of the same or an older version asks for nothing, one of a newer version brings its program', async () => {
  await using desk = await Desk.open();
  await desk.attach('1.2.3');
  await desk.attach('1.2.2');
  expect(desk.upgrades).toEqual([]);
  await desk.attach('1.10.0');
  expect(desk.upgrades).toEqual(['/program/of/1.10.0']);
});

test('a proxy that was started by hand keeps its program, and reads its config anew', async () => {
  const about = {
    ...{ version: '1.2.3', pid: 1, worker: 2, daemon: false },
    ...{ config: 'c.yaml', socket: 'sock', url: null, log: null },
  };
  await using desk = await Desk.open({ about });
  await desk.attach('2.0.0');
  expect(desk.upgrades).toEqual([]);
  desk.changed = true;
  await desk.attach('2.0.0');
  expect(desk.upgrades).toEqual([undefined]);
});

test('a shim is attached although no new worker can take over, and told why', async () => {
  await using desk = await Desk.open();
  desk.changed = true;
  desk.verdict = 'line 3 is wrong.';
  const { warnings } = await desk.attach();
  expect(warnings).toEqual([
    'The config file has changed, but no new worker could take over, so this one goes on: line 3 is wrong.',
  ]);
  expect(await desk.clients()).toBe(1);
});

test('a log that has grown goes on anew, and what it held is kept once', async () => {
  await using desk = await Desk.open();
  writeFileSync(desk.log, 'x'.repeat(5 * 1024 ** 2));
  await desk.clock.advance(MINUTE);
  expect(statSync(desk.log).size).toBe(0);
  expect(readFileSync(`${desk.log}.1`, 'utf8')).toHaveLength(5 * 1024 ** 2);
});

test.each([
  ['1.2.4', '1.2.3', true],
  ['1.10.0', '1.9.9', true],
  ['2.0.0', '1.99.99', true],
  ['1.2.3', '1.2.3', false],
  ['1.2.2', '1.2.3', false],
  ['1.2.3', '1.2.3-beta.1', true],
  ['1.2.3-beta.1', '1.2.3', false],
  ['1.2.3-beta.10', '1.2.3-beta.9', true],
  ['1.2.3+build', '1.2.3', false],
])('%s is newer than %s: %s', (version, than, newer) => {
  expect(isNewer(version, than)).toBe(newer);
});
