import { afterAll, beforeAll, expect, test } from 'vitest';
import { remoteDoor } from '../../src/admin/client.js';
import type { SessionView } from '../../src/admin/door.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';
import { Shell } from './cli.js';

const folder = new TemporaryFolder();
let proxy: ProxyProcess;
let shell: Shell;

beforeAll(async () => {
  proxy = await ProxyProcess.start(folder, {
    servers: {
      counter: local('counter'),
      broken: { command: process.execPath, args: ['-e', 'process.exit(1)'] },
    },
  });
  shell = new Shell(`${folder.path}/mcp-proxy.yaml`);
});

afterAll(async () => {
  await proxy.stop();
  folder[Symbol.dispose]();
});

test('S1 sessions export prints what a session keeps, and import makes a session of it', async () => {
  const door = remoteDoor(proxy.url);
  await door.create({ name: 'work', servers: ['counter'], state: { step: { done: 1 }, 'user:tone': 'dry' } });
  await door.saveSnapshot('work', 'plan', ['a']);
  await door.saveSnapshot('work', 'plan', ['a', 'b']);
  const file = folder.file('work.json', await shell.text('export', 'work'));
  const made = await shell.json<SessionView>('import', file, 'copy');
  expect(made.bindings.map(({ server }) => server)).toEqual(['counter']);
  expect(await door.getState('copy')).toEqual({ step: { done: 1 }, 'user:tone': 'dry' });
  expect((await door.listSnapshots('copy', 'plan')).map(({ value }) => value)).toEqual([['a'], ['a', 'b']]);
  const history = await door.events('copy', { track: 'imported' });
  expect(history.map(({ type }) => type)).toEqual(['created', 'snapshot saved', 'snapshot saved']);
  // What was already there is not touched, and no half of a session stays.
  await expect(shell.text('import', file)).rejects.toThrow(/There is a session "work" already/);
  await expect(shell.text('import', folder.file('bad.json', '{"format":1}'))).rejects.toThrow(
    /is not what export prints/,
  );
});

test('F12 sessions create --atomic makes a session with all its servers or none', async () => {
  await expect(shell.text('create', 'all', '--atomic')).rejects.toThrow(/cannot be started|exited/);
  await expect(shell.text('show', 'all')).rejects.toThrow(/There is no session "all"/);
  const made = await shell.json<SessionView>('create', 'some', '--server', 'counter', '--atomic');
  expect(made.bindings).toMatchObject([{ server: 'counter', state: 'connected' }]);
});
