import { expect, test } from 'vitest';
import { remoteDoor } from '../../src/admin/client.js';
import { collect, eventsOf, RawClient, textOf } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

const config = { servers: { counter: local('counter') } };

test('a session keeps its own process from call to call', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const one = await RawClient.open(proxy.url);
  const two = await RawClient.open(proxy.url);
  expect(await one.text('increment')).toBe('1');
  expect(await one.text('increment')).toBe('2');
  expect(await two.text('increment')).toBe('1');
  expect(await one.text('pid')).not.toBe(await two.text('pid'));
});

test('P2 after kill -9 the same session id goes on without initialize, and the loss is told once', async () => {
  using folder = new TemporaryFolder();
  await using first = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(first.url);
  await client.text('increment');
  const pid = Number(await client.text('pid'));
  await first.kill();
  await until(() => !isAlive(pid));

  await using second = await ProxyProcess.start(folder, config);
  const again = new RawClient(second.url, client.session);
  const answer = await again.call('increment');
  expect(textOf(answer)).toMatch(/Server "counter" .*proxy.* lost.*\n1$/s);
  expect(answer.result?._meta).toMatchObject({
    'mcp-session-proxy/session': { state: 'active', lost: [{ server: 'counter' }] },
  });
  expect(await again.text('increment')).toBe('2');
});

test('F16 a stopped proxy leaves no child, exits 0, and its sessions go on under the next one', async () => {
  using folder = new TemporaryFolder();
  await using first = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(first.url);
  const pid = Number(await client.text('pid'));
  expect(await first.stop()).toEqual({ code: 0, signal: null });
  expect(isAlive(pid)).toBe(false);

  await using second = await ProxyProcess.start(folder, config);
  expect(await new RawClient(second.url, client.session).text('get')).toMatch(
    /was stopped with the proxy.*\n0$/s,
  );
});

test('P7 a call in flight at kill -9 is answered as outcome unknown to the client that resumes its stream', async () => {
  using folder = new TemporaryFolder();
  await using first = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(first.url);
  const response = await client.post({
    jsonrpc: '2.0',
    id: 'slow',
    method: 'tools/call',
    params: { name: 'sleep', arguments: { ms: 60_000 } },
  });
  const priming = await eventsOf(response).next();
  const id = (priming.value as { id: string }).id;
  await first.kill();

  await using second = await ProxyProcess.start(folder, config);
  const again = new RawClient(second.url, client.session);
  const [answer] = await again.read(await again.stream(id));
  expect(answer?.id).toBe('slow');
  expect(textOf(answer ?? {})).toMatch(/outcome is unknown/);
});

test('a broken stream is taken up again where it broke, and the call goes on meanwhile', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const abort = new AbortController();
  const response = await fetch(proxy.url, {
    method: 'POST',
    signal: abort.signal,
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'Mcp-Session-Id': client.session ?? '',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 7,
      method: 'tools/call',
      params: { name: 'sleep', arguments: { ms: 300 } },
    }),
  });
  const { value } = await eventsOf(response).next();
  abort.abort();
  const [answer] = await client.read(await client.stream((value as { id: string }).id));
  expect(answer).toMatchObject({ id: 7, result: { content: [{ text: 'slept 300' }] } });
});

test('an event id of another client replays nothing', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const [owner, stranger] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
  const response = await owner.post({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'sleep', arguments: { ms: 50 } },
  });
  const events = await collect(eventsOf(response));
  const stolen = await stranger.stream(events[0]?.id);
  const reader = eventsOf(stolen);
  const first = await reader.next();
  // The priming event of the stranger's own stream, and nothing of the owner's.
  expect(first.value).toMatchObject({ message: undefined });
  await owner.call('increment');
  await stranger.delete();
});

test('P1 a closed session is answered as an unknown one', async () => {
  using folder = new TemporaryFolder();
  await using proxy = await ProxyProcess.start(folder, config);
  const client = await RawClient.open(proxy.url);
  const pid = Number(await client.text('pid'));
  expect((await client.delete()).status).toBe(204);
  expect(isAlive(pid)).toBe(false);
  const closed = await client.post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  const unknown = await new RawClient(proxy.url, 'nobody').post({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/list',
  });
  const missing = await new RawClient(proxy.url).post({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
  expect([closed.status, unknown.status, missing.status]).toEqual([404, 404, 400]);
  expect(await closed.text()).toBe(await unknown.text());
});

test('G7 what was answered before kill -9 is there afterwards: state, event and last use', async () => {
  using folder = new TemporaryFolder();
  const first = await ProxyProcess.start(folder, config);
  const door = remoteDoor(first.url);
  await door.create({ name: 'work' });
  await door.callTool('work', 'echo', { text: 'kept' });
  await door.setValue('work', 'step', { done: 3 });
  await first.kill();
  await using second = await ProxyProcess.start(folder, config);
  const after = remoteDoor(second.url);
  expect(await after.getState('work')).toEqual({ step: { done: 3 } });
  const events = await after.events('work');
  expect(events.map(({ type }) => type)).toEqual(expect.arrayContaining(['created', 'call', 'state set']));
  expect(events.find(({ type }) => type === 'call')?.data).toMatchObject({ tool: 'echo', ok: true });
});
