import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { connectProxy, loadConfig, openProxy, type ConfigInput } from '../../src/index.js';
import { isAlive, local } from '../support/proxy.js';
import { codeOf, counter, numberOf, openHere, TemporaryFolder } from './support/places.js';

test('a proxy opens from a file, from a loaded config and from one that stands in the program', async () => {
  using folder = new TemporaryFolder();
  const file = folder.file('mcp-proxy.yaml', JSON.stringify({ store: './s.db', servers: { counter } }));
  for (const options of [{ file }, { config: loadConfig(file) }, { config: { servers: { counter } } }]) {
    await using proxy = await openProxy(options);
    expect(await proxy.servers()).toEqual([{ name: 'counter', kind: 'local', scope: 'session' }]);
    expect(numberOf(await proxy.forAgent('alice').useTool('increment'))).toBe(1);
  }
  expect(existsSync(`${folder.path}/s.db`)).toBe(true);
});

test('it starts nothing until it must, and its end leaves no process', async () => {
  const place = await openHere();
  const session = await place.proxy.forAgent('alice').createSession('work');
  await session.listServices();
  expect(await place.proxy.stats()).toMatchObject({ running: 0, sessions: { idle: 1 } });
  const pid = numberOf(await session.useTool('pid'));
  await place.proxy.close();
  await place.proxy.close();
  expect(isAlive(pid)).toBe(false);
});

test('letting go of a proxy elsewhere leaves it and its sessions as they are', async () => {
  await using place = await openHere({}, true);
  {
    await using proxy = connectProxy(place.proxy.url ?? '');
    await proxy.forAgent().useTool('increment');
  }
  expect(numberOf(await place.proxy.forAgent().useTool('increment'))).toBe(2);
});

test('a config that cannot be used is refused with the key that is wrong', async () => {
  const refused = (config: ConfigInput) => openProxy({ config });
  await expect(refused({ servers: { counter: { ...counter, scope: 'nobody' as 'call' } } })).rejects.toThrow(
    /servers\.counter\.scope/,
  );
  await expect(refused({ servers: {} })).rejects.toThrow(/no server is configured/);
  await expect(refused({ servers: { counter: { ...counter, env: { A: '${B}' } } } })).rejects.toThrow(
    /servers\.counter\.env\.A: \$\{B\}/,
  );
  expect(await codeOf(refused({ servers: {} }))).toBe('CONFIG_INVALID');
  expect(await codeOf(openProxy({ file: '/nowhere/mcp-proxy.yaml' }))).toBe('CONFIG_INVALID');
  expect(
    await codeOf(openProxy({ config: { servers: { counter }, listen: { host: '0.0.0.0' } }, listen: true })),
  ).toBe('CONFIG_INVALID');
});

test('a proxy that stops waits for sessions that are being closed', async () => {
  const place = await openHere({ servers: { counter: local('lingers', {}, ['500']) } });
  const session = await place.proxy.forAgent('alice').createSession('work');
  const pid = numberOf(await session.useTool('pid'));
  const closed = codeOf(session.close());
  await session.waitFor(({ state }) => state === 'closed');
  await place.proxy.close();
  expect(isAlive(pid)).toBe(false);
  expect(await closed).toBe('no failure');
});
