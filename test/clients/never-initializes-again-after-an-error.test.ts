import { expect, test } from 'vitest';
import { RawClient } from '../support/client.js';
import { local, ProxyProcess, TemporaryFolder } from '../support/proxy.js';

/** Introduces itself once, and goes on with the id it was given whatever it is answered (Claude Code, Cursor). */
const connect = (url: string) => RawClient.open(url);

const servers = { counter: local('counter') };

test('its id is good after a restart and after a crash of the proxy', async () => {
  using folder = new TemporaryFolder();
  const first = await ProxyProcess.start(folder, { servers });
  const client = await connect(first.url);
  expect(await client.text('increment')).toBe('1');
  await first.stop();
  const second = await ProxyProcess.start(folder, { servers });
  expect(await new RawClient(second.url, client.session).text('increment')).toMatch(/is lost.*\n1$/s);
  await second.kill();
  await using third = await ProxyProcess.start(folder, { servers });
  expect(await new RawClient(third.url, client.session).text('increment')).toMatch(/is lost.*\n1$/s);
});

test('its id is good after its server died under a call', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers });
  const client = await connect(proxy.url);
  const pid = Number(await client.text('pid'));
  process.kill(pid, 'SIGKILL');
  expect(await client.text('get')).toMatch(/0$/);
});

test('at a named URL, or where all its principal’s clients share a session, even a dead id is good', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, { servers, sessions: { unidentified: 'principal' } });
  expect(await new RawClient(`${proxy.url}/s/work`, 'long-dead').text('increment')).toBe('1');
  expect(await new RawClient(proxy.url, 'long-dead').text('increment')).toBe('1');
  expect(await new RawClient(proxy.url, 'as-dead').text('increment')).toBe('2');
});
