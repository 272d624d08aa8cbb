import { execFileSync } from 'node:child_process';
import { chownSync, readFileSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { eventsOf, RawClient, textOf } from '../support/client.js';
import { Dice, rounds, tell } from '../support/faults.js';
import { Ledger, Writer } from '../support/ledger.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { workerOf } from '../support/worker.js';

const linux = test.runIf(process.platform === 'linux');

linux(
  'with 64 descriptors under 120 connections those that are there are served, and all when there is room',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    // One process: the limit is for the one that serves and starts servers.
    await using proxy = await ProxyProcess.start(
      folder,
      { servers: { counter: local('counter') } },
      { args: ['--no-keeper'] },
    );
    const client = await RawClient.open(proxy.url);
    expect(await client.text('increment')).toBe('1');
    execFileSync('prlimit', ['--pid', String(proxy.pid), '--nofile=64:64']);
    const { port, hostname } = new URL(proxy.url);
    const times = rounds(10);
    let least = Infinity;
    for (let time = 0; time < times; time++) {
      const answered = new Set<Socket>();
      const sockets = Array.from({ length: 120 }, () => {
        const socket = connect(Number(port), hostname);
        socket.on('error', () => {});
        socket.once('data', () => answered.add(socket));
        socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
        return socket;
      });
      const ended = () => sockets.filter((socket) => socket.closed || answered.has(socket)).length;
      // Whoever finds no room waits or is cut off; the others are answered meanwhile.
      await until(() => answered.size >= 20 && ended() >= 20);
      least = Math.min(least, answered.size);
      expect(proxy.process.exitCode).toBe(null);
      for (const socket of sockets) socket.destroy();
      await until(
        async () => (await fetch(new URL('/health', proxy.url)).catch(() => undefined))?.ok === true,
      );
      expect(await client.text('increment')).toBe(String(time + 2));
      const next = await RawClient.open(proxy.url);
      expect(await next.text('increment')).toBe('1'); // a server can be started again
      await next.delete();
    }
    tell('64 descriptors, 120 connections', { times, 'fewest answered at once': least });
  },
);

/** A user that has no other processes here. */
const NOBODY = 65_533;

const asRoot = test.runIf(process.platform === 'linux' && process.getuid?.() === 0);

asRoot(
  'while the system can start no process, calls wait and then say why; when it can again, they are served',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    for (const path of [folder.path, folder.file('mcp-proxy.yaml', '')]) chownSync(path, NOBODY, NOBODY);
    const config = { servers: { counter: local('counter'), other: local('counter') } };
    await using proxy = await ProxyProcess.start(folder, config, { args: ['--no-keeper'], uid: NOBODY });
    const client = await RawClient.open(proxy.url);
    expect(await client.text('counter__increment')).toBe('1');
    const limit = (most: number) =>
      execFileSync('prlimit', ['--pid', String(proxy.pid), `--nproc=${most}:`], { uid: NOBODY, gid: NOBODY });
    const times = rounds(10);
    for (let time = 0; time < times; time++) {
      const next = await RawClient.open(proxy.url);
      const before = proxy.stderr.split('EAGAIN').length;
      limit(1);
      const answers = Array.from({ length: 10 }, () => next.text('counter__increment'));
      await until(() => proxy.stderr.split('EAGAIN').length > before);
      expect(await client.text('counter__increment')).toBe(String(time + 2)); // who has a server goes on
      limit(4096);
      expect((await Promise.all(answers)).map(Number).sort((a, b) => a - b)).toEqual(
        Array.from({ length: 10 }, (_, number) => number + 1),
      );
      await next.delete();
    }
    limit(1);
    const last = await RawClient.open(proxy.url);
    expect(await last.text('other__increment')).toMatch(/EAGAIN.*no room for another process/s);
    limit(4096);
    expect(proxy.process.exitCode).toBe(null);
    tell('no process can be started', { times });
  },
);

test.runIf(process.platform === 'linux').each([
  ['of one process', ['--no-keeper']],
  ['of the keeper', []],
])(
  'a server that cannot be started for want of descriptors %s ends nothing else, and starts when there are some',
  { timeout: 60_000 },
  async (_, args) => {
    using folder = new TemporaryFolder();
    const config = { servers: { counter: local('counter') } };
    await using proxy = await ProxyProcess.start(folder, config, { args });
    const client = await RawClient.open(proxy.url);
    expect(await client.text('increment')).toBe('1');
    const next = await RawClient.open(proxy.url);
    const limit = (most: number) =>
      execFileSync('prlimit', ['--pid', String(proxy.pid), `--nofile=${most}:`]);
    const times = rounds(10);
    for (let room = 0; room < times; room++) {
      const told = proxy.stderr.split('EMFILE').length;
      // Not enough for a process with its pipes, wherever that shows.
      const open = new Set(readdirSync(`/proc/${proxy.pid}/fd`).map(Number));
      let [most, free] = [0, 0];
      for (; free <= room % 3; most++) if (!open.has(most)) free += 1;
      limit(most);
      const answer = next.text('increment');
      // What an earlier server leaves free in leaving may be enough after all.
      let answered = false;
      void answer.finally(() => (answered = true));
      await until(() => answered || proxy.stderr.split('EMFILE').length > told);
      limit(4096);
      expect(await answer).toBe('1');
      expect(await client.text('increment')).toBe(String(room + 2));
      await next.delete();
      await next.initialize();
    }
    expect(proxy.stderr).toContain('EMFILE');
  },
);

const MESSAGES = 800;
const MEBIBYTE = 1024 ** 2;

/** Resident memory of a process, bytes. */
function memoryOf(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

linux(
  'a client that stops reading costs little memory, and gets everything in order when it reads on or comes back',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    const whole = rounds(10) >= 10;
    const size = whole ? 64 * 1024 : 16 * 1024;
    await using proxy = await ProxyProcess.start(folder, { servers: { flood: local('floods-client') } });
    const client = await RawClient.open(proxy.url);
    await client.text('pid');
    const worker = workerOf(proxy);
    const before = memoryOf(worker);
    const call = { name: 'flood', arguments: { messages: MESSAGES, size }, _meta: { progressToken: 'p' } };
    const slow = await client.post({ jsonrpc: '2.0', id: 'slow', method: 'tools/call', params: call });
    const events = eventsOf(slow);
    const { value: first } = await events.next(); // and no more for now
    const other = new RawClient(proxy.url, client.session);
    let most = 0;
    await until(async () => {
      most = Math.max(most, memoryOf(worker));
      return (await other.text('flooded')) === String(MESSAGES);
    });
    const grown = Math.round((most - before) / MEBIBYTE);
    expect(grown).toBeLessThan(100);

    // Half of it by reading on, then the connection is cut, and the rest is fetched by event id.
    const heard: unknown[] = [];
    let id = first?.id;
    const hear = async (from: typeof events, limit: number) => {
      for (let event = await from.next(); event.value && heard.length < limit; event = await from.next()) {
        id = event.value.id;
        if (event.value.message)
          heard.push(event.value.message.params?.progress ?? textOf(event.value.message));
        if (heard.length >= limit) break;
      }
    };
    await hear(events, MESSAGES / 2);
    await events.return(undefined);
    await hear(eventsOf(await client.stream(id)), MESSAGES + 1);
    expect(heard).toEqual([...Array.from({ length: MESSAGES }, (_, n) => n + 1), 'flooded']);
    tell('a reader that stops', {
      MiB: Math.round((MESSAGES * size) / MEBIBYTE),
      messages: MESSAGES,
      'memory grown by MiB': grown,
    });
  },
);

test(
  'SIGTERM under load: every call is answered, refused or told, the proxy exits 0 and leaves no server',
  { timeout: 120_000 },
  async () => {
    const dice = new Dice();
    const times = rounds(10);
    const counts: Record<string, number> = { done: 0, unknown: 0, refused: 0, cut: 0 };
    for (let time = 0; time < times; time++) {
      using folder = new TemporaryFolder();
      const ledger = new Ledger(folder);
      const proxy = await ProxyProcess.start(folder, { servers: { ledger: ledger.server } });
      const url = () => Promise.resolve(proxy.url);
      const writers = await Promise.all(['a', 'b', 'c', 'd'].map((name) => Writer.open(name, dice, url)));
      let over = false;
      const load = writers.map(async (writer) => {
        while (!over) await writer.write();
      });
      const enough = 4 + dice.roll(40);
      await until(() => ledger.ids.length >= enough);
      const pids = ledger.writers(40);
      const exit = await proxy.stop();
      over = true;
      await Promise.all(load);
      expect(exit, `seed ${dice.seed}`).toEqual({ code: 0, signal: null });
      expect(pids.filter(isAlive)).toEqual([]);
      const known = new Set(ledger.ids);
      for (const { id, heard } of writers.flatMap(({ outcomes }) => outcomes)) {
        expect(['done', 'unknown', 'refused', 'cut'], `seed ${dice.seed}: ${id}`).toContain(heard);
        counts[heard] = (counts[heard] ?? 0) + 1;
        if (heard === 'done') expect(known, `seed ${dice.seed}`).toContain(id);
        // Who was cut off was not taken any more: what was taken was answered within the grace.
        else if (heard !== 'unknown') expect(known, `seed ${dice.seed}: ${heard}`).not.toContain(id);
      }
      expect(ledger.ids.length).toBe(known.size);
    }
    tell('SIGTERM under load', { seed: dice.seed, times, ...counts });
  },
);

test(
  'of two proxies on one store each has its own sessions, and what one leaves at kill -9 the other goes on with',
  { timeout: 120_000 },
  async () => {
    using folder = new TemporaryFolder();
    const servers = { counter: local('counter') };
    const first = await ProxyProcess.start(folder, { servers });
    await using second = await ProxyProcess.start(folder, { servers });
    const [one, two] = [await RawClient.open(first.url), await RawClient.open(second.url)];
    expect([await one.text('increment'), await two.text('increment')]).toEqual(['1', '1']);

    const foreign = new RawClient(second.url, one.session);
    const refused = await foreign.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    expect(refused.status).toBe(409);
    expect((await foreign.read(refused))[0]?.error).toMatchObject({
      message: expect.stringMatching(/another process|in use/i) as string,
      data: { code: 'SESSION_IN_USE' },
    });
    expect(await one.text('increment')).toBe('2');

    const stream = await one.post({
      jsonrpc: '2.0',
      id: 'cut',
      method: 'tools/call',
      params: { name: 'sleep', arguments: { ms: 60_000 } },
    });
    const { value: priming } = await eventsOf(stream).next();
    await first.kill();
    // The one that still runs clears up after it: nobody has to start anything.
    const again = new RawClient(second.url, one.session);
    await until(async () => (await again.post({ jsonrpc: '2.0', id: 1, method: 'ping' })).status === 200);
    expect(textOf((await again.read(await again.stream(priming?.id)))[0] ?? {})).toMatch(
      /outcome is unknown/,
    );
    expect(await again.text('increment')).toMatch(/lost.*\n1$/s);
    expect(await two.text('increment')).toBe('2');
    await using third = await ProxyProcess.start(folder, { servers });
    expect(
      (await new RawClient(third.url, one.session).post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }))
        .status,
    ).toBe(409);
  },
);

test(
  'connections that break without a word in the middle of a call cost the others nothing, and their calls go on',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const ledger = new Ledger(folder);
    await using proxy = await ProxyProcess.start(folder, { servers: { ledger: ledger.server } });
    const client = await RawClient.open(proxy.url);
    const { port, hostname } = new URL(proxy.url);
    const times = rounds(100);
    for (let time = 0; time < times; time++) {
      const params = { name: 'write', arguments: { id: `reset-${time}`, before: 30 } };
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write(
        `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n` +
          `Mcp-Session-Id: ${client.session}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
      // Its priming event: the call is under way.
      await new Promise((resolve) => socket.once('data', resolve));
      socket.resetAndDestroy();
      expect(await client.text('write', { id: `whole-${time}` })).toBe(`whole-${time}`);
    }
    // 2025-11-25: a connection that breaks is no cancellation.
    await until(() => ledger.ids.length === 2 * times);
    expect(new Set(ledger.ids).size).toBe(2 * times);
    tell('connections reset in a call', { times, 'calls carried out': ledger.ids.length });
  },
);
