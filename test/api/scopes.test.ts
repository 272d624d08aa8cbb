import { describe, expect, test } from 'vitest';
import { isAlive, until } from '../support/proxy.js';
import { codeOf, numberOf, places, sessionOf } from './support/places.js';

describe.each(places)('%s', (_, open) => {
  test('M1 a session of withSession is closed at its end, also by a throw, and its processes are gone', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const pids: number[] = [];
    const id = await agent.withSession('task', async (session) => {
      pids.push(numberOf(await session.useTool('pid')));
      return session.id;
    });
    const failing = agent.withSession('task', async (session) => {
      expect(session.id).not.toBe(id);
      pids.push(numberOf(await session.useTool('pid')));
      throw new Error('within');
    });
    await expect(failing).rejects.toThrow('within');
    await until(() => !pids.some(isAlive));
    expect(await agent.findSession('task')).toBeNull();
    expect(pids).toHaveLength(2);
  });

  test('M1 withSession takes up a session that is there, and leaves it open', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const made = await agent.createSession('task');
    await made.useTool('increment');
    await agent.withSession('task', async (session) => {
      expect(session.id).toBe(made.id);
      expect(numberOf(await agent.useTool('increment'))).toBe(2);
    });
    expect(numberOf(await made.useTool('increment'))).toBe(3);
  });

  test('M1 of two runs at once in one session the last to end closes it', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    let begin = () => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const first = agent.withSession('task', async (session) => {
      begin();
      await ended;
      return session.id;
    });
    await begun;
    const second = await agent.withSession('task', (session) => session.id);
    expect(await agent.findSession('task')).not.toBeNull();
    end();
    expect(await first).toBe(second);
    expect(await agent.findSession('task')).toBeNull();
  });

  test('M1 await using closes the session that the handle made, and no other', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    {
      await using made = await agent.createSession('made');
      await using found = await agent.findSession('made');
      await found?.[Symbol.asyncDispose]();
      expect((await made.info()).state).toBe('idle');
    }
    expect(await agent.findSession('made')).toBeNull();
    const kept = await agent.getOrCreate('kept');
    await (await agent.getOrCreate('kept'))[Symbol.asyncDispose]();
    expect((await kept.info()).state).toBe('idle');
  });

  test('M3 with sessionAuto three calls are in one session and one process', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    await agent.sessionAuto();
    const results = [
      await agent.useTool('increment'),
      await agent.useTool('increment'),
      await agent.useTool('increment'),
    ];
    expect(results.map(numberOf)).toEqual([1, 2, 3]);
    const pids = [await agent.useTool('pid'), await agent.useTool('pid')].map(numberOf);
    expect(new Set(pids).size).toBe(1);
    const auto = await agent.findSession('auto');
    expect(results.map((result) => sessionOf(result)?.id)).toEqual([auto?.id, auto?.id, auto?.id]);
  });

  test('M3 the options of sessionAuto hold, and of two calls the later one', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const left = async (name: string) => {
      const info = await (await agent.findSession(name))?.info();
      return (Date.parse(info?.expiresAt ?? '') - Date.parse(info?.lastActiveAt ?? '')) / 1000;
    };
    await agent.sessionAuto({ ttlSeconds: 7200 });
    await agent.useTool('increment');
    expect(await left('auto')).toBe(7200);
    await agent.sessionAuto({ ttlSeconds: 60 });
    expect(numberOf(await agent.useTool('increment'))).toBe(2);
    expect(await left('auto')).toBe(60);
    await agent.sessionAuto({ name: 'other' });
    expect(numberOf(await agent.useTool('increment'))).toBe(1);
    expect(await left('other')).toBe(1800);
  });

  test('M4 with sessionManual each call has a session and a process of its own', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    agent.sessionManual();
    expect([await agent.useTool('increment'), await agent.useTool('increment')].map(numberOf)).toEqual([
      1, 1,
    ]);
    const pids = [await agent.useTool('pid'), await agent.useTool('pid')].map(numberOf);
    expect(new Set(pids).size).toBe(2);
    await agent.sessionAuto();
    expect([await agent.useTool('increment'), await agent.useTool('increment')].map(numberOf)).toEqual([
      1, 2,
    ]);
  });

  test('F1 a temporary session says so, is shared by no two calls, and is gone afterwards', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    agent.sessionManual();
    const results = await Promise.all([agent.useTool('pid'), agent.useTool('pid')]);
    expect(results.map((result) => sessionOf(result)?.temporary)).toEqual([true, true]);
    expect(new Set(results.map(numberOf)).size).toBe(2);
    await until(() => !results.map(numberOf).some(isAlive));
    expect(await codeOf(agent.useTool('nonsense'))).not.toBe('no failure');
    expect(await place.proxy.stats()).toMatchObject({ sessions: {}, running: 0 });
    expect((await agent.listSessions()).sessions).toEqual([]);
  });

  test('F2 calls in a named session are all in that one, which is not temporary', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const session = await agent.createSession('work');
    const told = [];
    for (let call = 0; call < 3; call++) {
      told.push(sessionOf(await agent.useTool('increment', {}, { session: 'work' })));
    }
    expect(told.map((one) => [one?.id, one?.temporary])).toEqual(Array(3).fill([session.id, false]));
  });

  test('M20 nested scopes: the inner one holds within, the outer one again afterwards', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const where = async () => sessionOf(await agent.useTool('get'))?.id;
    await agent.withSession('outer', async (outer) => {
      expect(await where()).toBe(outer.id);
      await agent.withSession('inner', async (inner) => {
        expect(await where()).toBe(inner.id);
        expect(inner.id).not.toBe(outer.id);
      });
      expect(await where()).toBe(outer.id);
      await expect(agent.withSession('inner', () => Promise.reject(new Error('in')))).rejects.toThrow('in');
      expect(await where()).toBe(outer.id);
    });
  });

  test('M20 M6 a session that is named goes before the scope, and the scope before auto', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const named = await agent.createSession('named');
    const where = async (session?: typeof named | string) =>
      sessionOf(await agent.useTool('get', {}, session === undefined ? {} : { session }))?.id;
    const auto = await where();
    await agent.withSession('scope', async (scope) => {
      expect([await where(named), await where('named'), await where(named.id)]).toEqual(
        Array(3).fill(named.id),
      );
      expect(await where()).toBe(scope.id);
      const [batch] = await agent.callMany([{ tool: 'get' }]);
      expect(batch?.ok && sessionOf(batch.value)?.id).toBe(scope.id);
    });
    expect(await where()).toBe(auto);
    expect(await codeOf(where('nobody'))).toBe('SESSION_NOT_FOUND');
  });

  test('M20 scopes of tasks at once, and of two agents, do not meet', async () => {
    await using place = await open();
    const [alice, bob] = [place.proxy.forAgent('alice'), place.proxy.forAgent('bob')];
    const counts = await Promise.all(
      ['one', 'two', 'three'].map((name, index) =>
        alice.withSession(name, async () => {
          let count = 0;
          for (let call = 0; call <= index; call++) count = numberOf(await alice.useTool('increment'));
          return count;
        }),
      ),
    );
    expect(counts).toEqual([1, 2, 3]);
    await alice.withSession('mine', async (mine) => {
      const bobs = sessionOf(await bob.useTool('get'));
      expect(bobs?.id).not.toBe(mine.id);
    });
    expect(place.proxy.forAgent('alice')).toBe(alice);
  });

  test('F15 a batch stops at the first error, or goes on, or runs at once, as it is told', async () => {
    await using place = await open();
    const agent = place.proxy.forAgent('alice');
    const calls = [{ tool: 'increment' }, { tool: 'nonsense' }, { tool: 'increment', args: {} }];
    for (const callMany of [
      (options?: Parameters<typeof agent.callMany>[1]) => agent.callMany(calls, options),
      await agent
        .createSession('batch')
        .then(
          (session) => (options?: Parameters<typeof agent.callMany>[1]) => session.callMany(calls, options),
        ),
    ]) {
      const told = async (options?: Parameters<typeof agent.callMany>[1]) =>
        (await callMany(options)).map((outcome) =>
          outcome.ok ? numberOf(outcome.value) : outcome.error.name,
        );
      expect(await told()).toEqual([1, 'ProxyError']);
      expect(await told({ stopOnError: false })).toEqual([2, 'ProxyError', 3]);
      expect((await told({ parallel: true })).sort()).toEqual([4, 5, 'ProxyError']);
    }
    agent.sessionManual();
    const apart = await agent.callMany(calls, { parallel: true });
    expect(apart.map((outcome) => outcome.ok && numberOf(outcome.value))).toEqual([1, false, 1]);
    expect(await agent.callMany(calls)).toHaveLength(2);
    expect(await agent.callMany([])).toEqual([]);
  });
});
