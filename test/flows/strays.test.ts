import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { memoryOf, newMarker, signalMarked } from '../../src/downstream/strays.js';
import { descendants } from '../support/browser.js';
import { runs } from '../support/child.js';
import { RawClient } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { strays: local('leaves-session') } };

/** A server with a process that has left its group and session and ignores SIGTERM. */
async function start(folder: TemporaryFolder) {
  const proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const pids = (await client.text('pids')).split(' ').map(Number);
  expect(pids.map(runs)).toEqual([true, true]);
  return { proxy, client, pids };
}

const allGone = (pids: number[]) => until(() => !pids.some(runs));

test.skipIf(process.platform !== 'linux')(
  'kill -9 of the proxy leaves no process, not even one that left its group',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const { proxy, pids } = await start(folder);
    await proxy.kill();
    const begun = performance.now();
    await allGone(pids);
    console.log(`no process left ${Math.round(performance.now() - begun)} ms after kill -9`);
  },
);

test.skipIf(process.platform !== 'linux')(
  'the end of a server, however it comes, ends what it left behind',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const { proxy, client, pids } = await start(folder);
    await client.call('exit');
    await allGone(pids);
    const again = (await client.text('pids')).split('\n').at(-1)?.split(' ').map(Number) ?? [];
    await client.delete();
    await allGone(again);
    await proxy.stop();
  },
);

test.skipIf(process.platform !== 'linux')(
  'when everything is killed at once, guardian and all, the next start ends what is left',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    const { proxy, pids } = await start(folder);
    const [server = 0, stray = 0] = pids;
    const guardian = guardianOf(proxy.pid);
    for (const pid of [guardian, proxy.pid, server]) process.kill(pid, 'SIGKILL');
    await until(() => !runs(guardian) && !runs(proxy.pid) && !runs(server));
    expect(runs(stray)).toBe(true);
    await using _ = await ProxyProcess.start(folder, config);
    await allGone([stray]);
  },
);

test.skipIf(process.platform !== 'linux')('a marker finds its own processes and no others', async () => {
  const marker = newMarker();
  const child = (env: NodeJS.ProcessEnv) =>
    spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore', env });
  const ours = child({ MCP_SESSION_PROXY_CHILD: marker });
  const others = [
    child({ MCP_SESSION_PROXY_CHILD: `${marker}0` }),
    child({ OTHER: `MCP_SESSION_PROXY_CHILD=${marker}` }),
  ];
  await until(() => [ours, ...others].every(({ pid }) => existsSync(`/proc/${pid}/environ`)));
  const ended = new Promise((resolve) => ours.once('exit', resolve));
  expect(signalMarked([marker], 'SIGKILL')).toEqual([ours.pid]);
  await ended;
  expect(others.map(({ exitCode, signalCode }) => exitCode ?? signalCode)).toEqual([null, null]);
  for (const other of others) other.kill('SIGKILL');
});

test.skipIf(process.platform !== 'linux')('memory is that of a process and of all it started', async () => {
  const hold =
    "const kept = Buffer.alloc(50 * 1024 ** 2, 1); process.stdout.write('.'); setInterval(() => kept, 1000)";
  const script = `require('node:child_process').spawn(process.execPath, ['-e', ${JSON.stringify(hold)}], { stdio: 'inherit' })`;
  const parent = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  await new Promise((resolve) => parent.stdout.once('data', resolve));
  expect(memoryOf(parent.pid ?? 0)).toBeGreaterThan(52 * 1024 ** 2);
  process.kill(-(parent.pid ?? 0), 'SIGKILL');
});

/** The shell that ends the proxy's children when it dies. */
function guardianOf(proxy: number): number {
  const found = descendants(proxy).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/bin/sh'),
  );
  if (found === undefined) throw new Error('there is no guardian');
  return found;
}
