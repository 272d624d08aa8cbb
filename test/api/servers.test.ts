import { describe, expect, test } from 'vitest';
import { openProxy, textOf } from '../../src/index.js';
import { ManualClock } from '../support/clock.js';
import { isAlive, until } from '../support/proxy.js';
import {
  codeOf,
  counter,
  local,
  numberOf,
  places,
  sessionOf,
  TemporaryFolder,
  whileFile,
} from './support/places.js';

const two = { servers: { one: counter, two: counter } };

describe.each(places)('%s', (_, open) => {
  test('M5 binding a server twice starts it once, and what was unbound is gone from the session', async () => {
    await using place = await open(two);
    const session = await place.proxy.forAgent('alice').createSession('work', { servers: ['one'] });
    expect(await session.connectionStatus()).toEqual({ one: false });
    await session.bindService('two');
    const pid = numberOf(await session.useTool('two__pid'));
    await session.bindService('two');
    expect(numberOf(await session.useTool('two__pid'))).toBe(pid);
    expect(await session.connectionStatus()).toEqual({ one: false, two: true });
    const names = (await session.listTools()).map(({ name }) => String(name));
    expect(names).toEqual(expect.arrayContaining(['one__get', 'two__get']));
    await session.unbindService('two');
    expect(isAlive(pid)).toBe(false);
    expect(await session.connectionStatus()).toEqual({ one: true });
    expect(await codeOf(session.useTool('two__pid'))).toBe('NOT_FOUND');
    expect(await codeOf(session.bindService('three'))).toBe('NOT_FOUND');
  });

  test('M5 a server that cannot be started fails to bind and is started by the first call that can', async () => {
    using folder = new TemporaryFolder();
    const file = `${folder.path}/switch`;
    await using place = await open({ servers: { frail: whileFile(file) } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await codeOf(session.bindService('frail'))).toBe('SERVER_UNAVAILABLE');
    expect(await session.listServices()).toMatchObject([{ server: 'frail', state: 'failed' }]);
    folder.file('switch', '');
    expect(numberOf(await session.useTool('increment'))).toBe(1);
  });

  test('M6 an unknown tool is our failure, what a server says of its own is its result', async () => {
    await using place = await open({ servers: { talk: local('says-wrong'), counter } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await codeOf(session.useTool('nonsense'))).toBe('TOOL_NOT_FOUND');
    const result = await session.useTool('talk__fail', { why: 'because' });
    expect(result).toMatchObject({ isError: true });
    expect(textOf(result)).toBe('failed because');
    expect(numberOf(await session.useTool('counter__increment'))).toBe(1);
  });

  test('M6 a call that is given up after its timeout goes on in the session', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work', { bind: true });
    const late = session.useTool('sleep', { ms: 60_000 }, { timeout: 20 });
    expect(await codeOf(late)).toBe('CALL_TIMEOUT');
    expect((await session.info()).expiresAt).toBeNull();
    expect(numberOf(await session.useTool('increment', {}, { timeout: 10_000 }))).toBe(1);
    expect(await codeOf(session.pause())).toBe('SESSION_BUSY');
    expect((await session.pause({ force: true })).state).toBe('paused');
  });

  test('M7 restart gives new processes and a new generation, and keeps id, name and state', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    await session.state.set('page', 7);
    const pid = numberOf(await session.useTool('pid'));
    const view = await session.restart();
    expect(view).toMatchObject({
      id: session.id,
      name: 'work',
      bindings: [{ generation: 2, state: 'connected' }],
    });
    expect(isAlive(pid)).toBe(false);
    const after = await session.useTool('pid');
    expect(numberOf(after)).not.toBe(pid);
    expect(sessionOf(after)?.lost).toMatchObject([{ server: 'counter' }]);
    expect(await session.state.get('page')).toBe(7);
  });

  test('F7 reinitialize replaces one server by one with other arguments, and keeps the old one if that fails', async () => {
    using folder = new TemporaryFolder();
    const file = folder.file('switch', '');
    await using place = await open({ servers: { frail: whileFile(file), counter } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    const pid = numberOf(await session.useTool('frail__pid'));
    const other = numberOf(await session.useTool('counter__pid'));
    const args = [...whileFile(file).args.slice(0, 1), `${folder.path}/nowhere`];
    expect(await codeOf(session.reinitialize('frail', { args }))).toBe('SERVER_UNAVAILABLE');
    expect(numberOf(await session.useTool('frail__pid'))).toBe(pid);
    const done = await session.reinitialize('frail', { env: { GREETING: 'hello' } });
    expect(done).toMatchObject({ configApplied: true, session: { name: 'work' } });
    expect(done.newBindingId).not.toBe(done.oldBindingId);
    expect(numberOf(await session.useTool('frail__pid'))).not.toBe(pid);
    expect(numberOf(await session.useTool('counter__pid'))).toBe(other);
  });

  test('M9 a cleared cache is filled by the server itself, in the same process', async () => {
    await using place = await open({ servers: { grows: local('grows-tools') } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    const lists = [await session.listTools()];
    const pid = numberOf(await session.useTool('pid'));
    await session.clearCache();
    expect((await session.info()).toolCount).toBeNull();
    lists.push(await session.listTools());
    expect(lists.map((tools) => tools.length)).toEqual([2, 3]);
    expect(numberOf(await session.useTool('pid'))).toBe(pid);
  });

  test('M17 waitFor returns as soon as the servers are ready, and says what is wrong when they never are', async () => {
    using folder = new TemporaryFolder();
    const file = `${folder.path}/switch`;
    await using place = await open({ servers: { frail: whileFile(file) } });
    const session = await place.proxy.forAgent('alice').createSession('work');
    expect(await codeOf(session.bindService('frail'))).toBe('SERVER_UNAVAILABLE');
    const late = session.waitFor('ready', { timeout: 300 });
    expect(await codeOf(late)).toBe('CALL_TIMEOUT');
    await expect(late).rejects.toThrow(
      /within 300ms: session work is error, its servers are frail (failed|connecting)/,
    );
    const ready = session.waitFor('ready', { timeout: 20_000 });
    folder.file('switch', '');
    expect(await ready).toMatchObject({ name: 'work', state: 'active', bindings: [{ state: 'connected' }] });
  });

  test('M17 waitFor waits for whatever it is told', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work', { bind: true });
    const paused = session.waitFor(({ state }) => state === 'paused');
    await session.pause();
    expect(await paused).toMatchObject({ name: 'work', state: 'paused' });
    const wrong = session.waitFor(() => {
      throw new Error('asked wrongly');
    });
    await expect(wrong).rejects.toThrow('asked wrongly');
  });

  test('M17 waitFor does not wait for what cannot come any more', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work', { bind: true });
    const waits = Promise.all([
      codeOf(session.waitFor(({ state }) => state === 'error', { timeout: 5000 })),
      session.waitFor(({ state }) => state === 'closed', { timeout: 5000 }).then(({ name }) => name),
    ]);
    await session.close();
    expect(await waits).toEqual(['SESSION_CLOSED', 'work']);
    expect(await codeOf(session.waitFor('ready'))).toBe('SESSION_CLOSED');
  });

  test('M18 twenty sessions with fifty calls each get no value of another', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const pids = await Promise.all(
      Array.from({ length: 20 }, (_, number) =>
        agent.withSession(`task-${number}`, async (session) => {
          for (let call = 1; call <= 50; call++) {
            const mark = `${number}-${call}`;
            expect(textOf(await agent.useTool('echo', { text: mark }))).toBe(mark);
            expect(numberOf(await session.useTool('increment'))).toBe(call);
          }
          return numberOf(await session.useTool('pid'));
        }),
      ),
    );
    expect(new Set(pids).size).toBe(20);
  }, 120_000);

  test('G11 fifty first calls at once start one process', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const pids = await Promise.all(
      Array.from({ length: 50 }, async () => numberOf(await agent.useTool('pid'))),
    );
    expect(new Set(pids).size).toBe(1);
    expect((await agent.listSessions()).sessions).toMatchObject([
      { name: 'auto', bindings: [{ generation: 1 }] },
    ]);
  });

  test('F17 a server that starts slowly delays no other session', async () => {
    using folder = new TemporaryFolder();
    const gate = `${folder.path}/gate`;
    await using place = await open({ servers: { slow: local('waits-at-gate', {}, [gate]), counter } });
    const agent = place.proxy.forAgent('alice');
    const slow = await agent.createSession('slow', { servers: ['slow'] });
    const order: string[] = [];
    const first = slow.useTool('slow__increment').then(() => order.push('slow'));
    await slow.waitFor(({ bindings }) => bindings.some(({ state }) => state === 'connecting'));
    await agent.withSession('quick', (quick) => quick.useTool('counter__increment'), {
      servers: ['counter'],
    });
    order.push('quick');
    folder.file('gate', '');
    await first;
    expect(order).toEqual(['quick', 'slow']);
  });
});

test('M17 waitFor hears of what happens, also while no time goes by', async () => {
  const clock = new ManualClock();
  const proxy = await openProxy({ config: { servers: { counter } }, clock });
  const session = await proxy.forAgent('alice').createSession('work', { bind: true });
  const paused = session.waitFor(({ state }) => state === 'paused');
  await session.pause();
  expect((await paused).state).toBe('paused');
  const late = codeOf(session.waitFor(({ state }) => state === 'error', { timeout: 5000 }));
  await until(() => clock.pending > 2);
  await clock.advance(5000);
  expect(await late).toBe('CALL_TIMEOUT');
  let stopped = false;
  void proxy.close().then(() => (stopped = true));
  await until(async () => {
    await clock.advance(100);
    return stopped;
  });
});
