import { rmSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { SessionHandle } from '../../src/index.js';
import { isAlive, until } from '../support/proxy.js';
import { codeOf, MINUTE, numberOf, places, sessionOf, TemporaryFolder, whileFile } from './support/places.js';

/** DESIGN, section 5, as session.ts has it. */
const TABLE = [
  'idle active',
  'idle error',
  'idle closed',
  'active paused',
  'active error',
  'active closed',
  'paused active',
  'paused error',
  'paused closed',
  'error active',
  'error paused',
  'error closed',
];

/** Every change of state that the session has recorded. */
async function changesOf(session: SessionHandle): Promise<string[]> {
  const events = await session.events();
  return events
    .filter(({ type }) => type === 'state')
    .map(({ data }) => `${String(data.from)} ${String(data.to)}`);
}

describe.each(places)('%s', (_, open) => {
  test('G1 every row of the state table can be walked', async () => {
    using folder = new TemporaryFolder();
    const file = `${folder.path}/switch`;
    const mend = () => folder.file('switch', '');
    const breakIt = async (session: SessionHandle) => {
      rmSync(file);
      const [{ pid } = {}] = await session.listServices();
      if (pid === undefined) return;
      process.kill(pid, 'SIGKILL');
      await session.waitFor(({ bindings }) => bindings.every(({ state }) => state !== 'connected'));
    };
    const fail = async (session: SessionHandle) =>
      expect(await codeOf(session.useTool('increment'))).toBe('SERVER_UNAVAILABLE');
    await using place = await open({ servers: { frail: whileFile(file) } });
    const agent = place.proxy.forAgent('alice');
    const walked = new Set<string>();
    const walk = async (...steps: ((session: SessionHandle) => unknown)[]) => {
      const session = await agent.createSession();
      for (const step of steps) await step(session);
      for (const change of await changesOf(session)) walked.add(change);
    };
    const call = (session: SessionHandle) => session.useTool('increment');
    const pause = (session: SessionHandle) => session.pause();
    const close = (session: SessionHandle) => session.close();

    mend();
    await walk(call, pause, call, breakIt, fail, mend, (session) => session.recover(), close);
    await walk(call, pause, close);
    rmSync(file);
    await walk(fail, pause, fail, close);
    await walk(close);
    expect([...walked].sort()).toEqual([...TABLE].sort());
  });

  test('G1 what the state table does not have happens to no session', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const idle = await agent.createSession('idle');
    expect((await idle.pause()).state).toBe('idle');
    expect((await idle.recover()).state).toBe('idle');
    expect((await idle.restart()).state).toBe('idle');
    await place.clock.forward(31 * MINUTE);
    await place.proxy.collect();
    expect((await idle.info()).state).toBe('idle');
    expect(await changesOf(idle)).toEqual([]);

    const paused = await agent.createSession('paused', { bind: true });
    await paused.pause();
    expect((await paused.pause()).state).toBe('paused');
    expect((await paused.recover()).state).toBe('paused');
    expect(await changesOf(paused)).toEqual(['idle active', 'active paused']);
  });

  test('G1 a closed session stays closed, whatever is asked of it', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    await session.close();
    const codes = await Promise.all(
      [
        session.useTool('get'),
        session.bindService('counter'),
        session.unbindService('counter'),
        session.reinitialize('counter', { args: [] }),
        session.listTools(),
        session.clearCache(),
        session.extend(60),
        session.refresh(),
        session.pause(),
        session.resume(),
        session.restart(),
        session.recover(),
        session.rename('other'),
        session.fork(),
        session.share('team', ['*']),
        session.state.set('key', 1),
        session.saveState('module', 1),
        session.appendEvent('mine', 'late'),
        session.follow(() => {}),
        session.asTransport(),
      ].map(codeOf),
    );
    expect(new Set(codes)).toEqual(new Set(['SESSION_CLOSED']));
    expect(await session.close()).toBe(false);
    expect((await session.info()).state).toBe('closed');
    expect(await changesOf(session)).toEqual(['idle closed']);
  });

  test('G2 a session that is idle for its time is paused: its process is gone, everything else is kept', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    const pid = numberOf(await session.useTool('pid'));
    await session.state.set('page', 7);
    await place.clock.forward(29 * MINUTE);
    expect((await session.info()).state).toBe('active');
    await place.clock.forward(2 * MINUTE);
    await session.waitFor(({ state }) => state === 'paused');
    await until(() => !isAlive(pid));
    expect(await session.info()).toMatchObject({ name: 'work', state: 'paused', active: false });
    expect(await session.state.get('page')).toBe(7);
    expect((await session.events()).at(-1)).toMatchObject({
      type: 'state',
      data: { from: 'active', to: 'paused' },
    });
  });

  test('G2 with onTimeout: close it is closed instead', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work', { ttlSeconds: 60, onTimeout: 'close', bind: true });
    await place.clock.forward(2 * MINUTE);
    await until(async () => (await agent.findSession('work')) === null);
    expect(await codeOf(session.useTool('get'))).toBe('SESSION_CLOSED');
  });

  test('G3 the next call takes a paused session up under its id, and says which server was started anew', async () => {
    await using place = await open();
    const session = await place.proxy.forAgent('alice').createSession('work');
    await session.useTool('increment');
    await session.pause();
    const result = await session.useTool('increment');
    expect(numberOf(result)).toBe(1);
    expect(sessionOf(result)).toMatchObject({
      id: session.id,
      state: 'active',
      lost: [{ server: 'counter' }],
    });
    expect(sessionOf(await session.useTool('increment'))?.lost).toBeUndefined();
  });
});
