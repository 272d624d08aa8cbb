import { expect, test } from 'vitest';
import { openProxy, ProxyError, textOf, type Hook } from '../../src/index.js';
import { setLogLevel } from '../../src/logger.js';
import { codeOf, counter, numberOf } from './support/places.js';

setLogLevel('silent');

const open = (...hooks: Hook[]) => openProxy({ config: { servers: { counter } }, hooks });

test('T13 hooks are laid around a call in their order, the first outermost', async () => {
  const order: string[] = [];
  const named = (name: string): Hook => ({
    call: async (request, next) => {
      order.push(`${name} before ${request.method}`);
      const outcome = await next();
      order.push(`${name} after`);
      return outcome;
    },
  });
  await using proxy = await open(named('outer'), {}, named('inner'));
  expect(numberOf(await proxy.forAgent('alice').useTool('increment'))).toBe(1);
  expect(order).toEqual(['outer before tools/call', 'inner before tools/call', 'inner after', 'outer after']);
});

test('T13 a hook changes what is called and what comes back, and the history tells what was called', async () => {
  await using proxy = await open(
    {
      call: async (request, next) => {
        const outcome = await next({ ...request, params: { ...request.params, name: 'increment' } });
        if ('error' in outcome) return outcome;
        return { result: { ...outcome.result, told: [request.principal, request.session.name] } };
      },
    },
    { call: (request, next) => next(request.params?.name === 'increment' ? request : undefined) },
  );
  const session = await proxy.forAgent('alice').createSession('work');
  const result = await session.useTool('get');
  expect([textOf(result), result.told]).toEqual(['1', ['agent:alice', 'work']]);
  expect((await session.events()).at(-1)).toMatchObject({ type: 'call', data: { tool: 'increment' } });
});

test('T13 a hook that throws keeps a call from its server, and says why', async () => {
  let refuse = true;
  await using proxy = await open({
    call: (request, next) => {
      if (refuse && request.params?.name === 'increment')
        throw new ProxyError('FORBIDDEN', 'Counting is over for today.');
      return next();
    },
  });
  const session = await proxy.forAgent('alice').createSession('work');
  await expect(session.useTool('increment')).rejects.toMatchObject({
    code: 'FORBIDDEN',
    message: 'Counting is over for today.',
  });
  expect(numberOf(await session.useTool('get'))).toBe(0);
  refuse = false;
  expect(numberOf(await session.useTool('increment'))).toBe(1);
});

test('T13 events are changed or left out by hooks, and numbered without a gap', async () => {
  await using proxy = await open(
    {
      appendEvent: (event, next) => {
        if (event.type === 'state') return;
        next({ ...event, data: { ...event.data, seenBy: 'first' } });
      },
    },
    {
      appendEvent: (event, next) => {
        if (event.type === 'rude') throw new ProxyError('FORBIDDEN', 'Not that word.');
        next({ ...event, data: { ...event.data, seenBy: `${String(event.data.seenBy)}, second` } });
      },
    },
  );
  const session = await proxy.forAgent('alice').createSession('work');
  await session.useTool('increment');
  const events = await session.events();
  expect(events.map(({ seq, type, data }) => [seq, type, data.seenBy])).toEqual([
    [1, 'created', 'first, second'],
    [2, 'call', 'first, second'],
  ]);
  expect(await codeOf(session.appendEvent('mine', 'rude'))).toBe('FORBIDDEN');
  await session.appendEvent('mine', 'polite');
  expect(await session.events({ track: 'mine' })).toMatchObject([{ seq: 1, type: 'polite' }]);
});

test('T13 an event of the proxy that a hook throws at is left out, and the session goes on', async () => {
  await using proxy = await open({
    appendEvent: () => {
      throw new Error('No records.');
    },
  });
  const session = await proxy.forAgent('alice').createSession('work');
  expect(numberOf(await session.useTool('increment'))).toBe(1);
  expect((await session.pause()).state).toBe('paused');
  expect(await session.events()).toEqual([]);
  expect(await codeOf(session.setSummary('In short.'))).toBe('INTERNAL');
});

test('T13 a hook changes what is shown of a session, or shows nothing', async () => {
  await using proxy = await open({
    getSession: (view, next) => {
      if (view.name === 'hidden') throw new ProxyError('FORBIDDEN', 'Not this one.');
      return next({ ...view, principal: 'somebody' });
    },
  });
  const agent = proxy.forAgent('alice');
  const work = await agent.createSession('work');
  expect((await work.info()).principal).toBe('somebody');
  await agent.createSession('hidden');
  expect(await codeOf(agent.findSession('hidden'))).toBe('FORBIDDEN');
});
