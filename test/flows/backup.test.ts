import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { RawClient } from '../support/client.js';
import { CLI, local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

const run = promisify(execFile);
const servers = { counter: local('counter') };

test('a backup that is made while calls are being written opens as a store with all that was answered before', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(`${proxy.url}/s/work`);
  await client.text('increment');
  let writing = true;
  const writer = (async () => {
    while (writing) await client.text('increment');
  })();
  const copy = join(folder.path, 'copy.db');
  const config = join(folder.path, 'mcp-proxy.yaml');
  const { stdout } = await run(process.execPath, [CLI, 'backup', copy, '--config', config]);
  writing = false;
  await writer;
  expect(stdout).toContain('copy.db');
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  expect(existsSync(`${copy}.unfinished`)).toBe(false);

  const other = folder.file('other.yaml', JSON.stringify({ store: copy, servers }));
  const { stdout: list } = await run(process.execPath, [CLI, 'sessions', 'ls', '--json', '--config', other]);
  expect(list).toContain('"work"');
});

test('a backup overwrites nothing, and of a damaged store none is kept', async () => {
  using folder = new TemporaryFolder();
  const proxy = await ProxyProcess.start(folder, { servers });
  const client = await RawClient.open(`${proxy.url}/s/work`);
  for (let i = 0; i < 50; i++) await client.text('increment');
  await proxy.stop();
  const config = join(folder.path, 'mcp-proxy.yaml');
  const there = folder.file('there.db', 'mine');
  const backup = (to: string) =>
    run(process.execPath, [CLI, 'backup', to, '--config', config]).then(
      () => ({ code: 0, stderr: '' }),
      (error: { code: number; stderr: string }) => error,
    );
  expect(await backup(there)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('exists already') as string,
  });
  expect(readFileSync(there, 'utf8')).toBe('mine');

  const store = join(folder.path, 'store.db');
  const bytes = readFileSync(store);
  bytes.fill(0x5a, 4096, bytes.length);
  writeFileSync(store, bytes);
  const copy = join(folder.path, 'copy.db');
  expect(await backup(copy)).toMatchObject({ code: 1 });
  expect([existsSync(copy), existsSync(`${copy}.unfinished`)]).toEqual([false, false]);
});
