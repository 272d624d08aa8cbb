import { expect, test } from 'vitest';
import type { Principal } from '../../src/auth/principal.js';
import { setLogLevel } from '../../src/logger.js';
import type { Attachment } from '../../src/session/attachment.js';
import { Correlator, type Facts, type Rung } from '../../src/session/correlate.js';
import { Exchange } from '../../src/session/exchange.js';
import { Finder } from '../../src/session/finder.js';
import { FakeClient, principal, World, type WorldOptions } from '../support/world.js';

setLogLevel('silent');

const stranger: Principal = { id: 'stranger', admin: false };
const hint = { kind: 'chatgpt', value: 'chat-1' };

/** A world, and the ladder in it. */
function ladder(options: WorldOptions = {}) {
  const world = new World(options);
  const { manager, attachments, store } = world;
  const unidentified = options.sessions?.unidentified ?? 'new';
  const correlator = new Correlator({
    manager,
    attachments,
    store,
    unidentified,
    router: world.router,
    finder: new Finder(manager),
  });
  const find = (facts: Partial<Facts> = {}) => correlator.correlate({ principal, ...facts });
  const idOf = (facts: Partial<Facts> = {}) => find(facts)?.session?.id;
  const call = (facts: Partial<Facts> = {}, client = new FakeClient(), link?: Attachment) => {
    const exchange = new Exchange('tools/call', { name: 'echo' }, client, principal.id);
    const target = correlator.target({ principal, ...facts }, client.client, link);
    exchange.use = target.use;
    return { exchange, outcome: target.run((session) => session.request(exchange)) };
  };
  return { world, correlator, find, idOf, call };
}

test('the first rung that matches counts: handle, address, hint, id, policy', () => {
  const { world, find } = ladder({ sessions: { unidentified: 'principal' } });
  using _ = world;
  const known = world.attachments.attach(world.session(), new FakeClient().client, true);
  const handle = { argument: 'session', value: world.session().id };
  const facts: Facts = { principal, handle, address: 'work', hint, known };
  const seen: (Rung | undefined)[] = [];
  for (const key of ['handle', 'address', 'hint', 'known', 'principal'] as const) {
    seen.push(find(facts)?.rung);
    if (key !== 'principal') delete facts[key];
  }
  expect(seen).toEqual(['handle', 'address', 'hint', 'id', 'policy']);
});

test('one hint leads to one session, however many ask at once, and also after a restart', () => {
  const { world, idOf } = ladder();
  const first = idOf({ hint });
  expect([idOf({ hint }), idOf({ hint })]).toEqual([first, first]);
  const next = ladder({ store: world.store, instance: 'next proxy' });
  expect(next.idOf({ hint })).toBe(first);
  world.store.close();
});

test('two proxies on one store that see a new hint at once make one session of it', async () => {
  const { world, idOf } = ladder();
  using _ = world;
  const other = ladder({ store: world.store, instance: 'other proxy' });
  const get = world.store.hints.get.bind(world.store.hints);
  // Both have looked before either has written.
  world.store.hints.get = () => {
    world.store.hints.get = get;
    expect(other.idOf({ hint })).toBeDefined();
    return undefined;
  };
  expect(idOf({ hint })).toBe(other.idOf({ hint }));
  await world.committed();
  const open = world.manager.list({ limit: 9 }).filter(({ state }) => state !== 'closed');
  expect(open).toHaveLength(1);
});

test('a hint of another principal, of another kind of client or with another value is another session', () => {
  const { world, idOf } = ladder();
  using _ = world;
  const ids = [
    idOf({ hint }),
    idOf({ hint, principal: stranger }),
    idOf({ hint: { ...hint, kind: 'codex' } }),
    idOf({ hint: { ...hint, value: 'chat-2' } }),
  ];
  expect(new Set(ids).size).toBe(4);
});

test('what a client said of its conversation is not stored', () => {
  const { world, idOf } = ladder();
  using _ = world;
  const seen: string[] = [];
  const replace = world.store.hints.replace.bind(world.store.hints);
  world.store.hints.replace = (...args) => (seen.push(args[1]), replace(...args));
  idOf({ hint });
  expect(seen).toEqual([expect.stringMatching(/^chatgpt:[\w-]{43}$/)]);
});

test('after its session was closed a hint leads to a new one', async () => {
  const { world, find, idOf } = ladder();
  using _ = world;
  const first = find({ hint })?.session;
  if (!first) throw new Error('no session');
  await world.manager.close(first, 'was stopped by the test');
  expect(idOf({ hint })).not.toBe(first.id);
  expect(idOf({ hint })).toBe(idOf({ hint }));
});

test('who names nothing gets what the policy says: nothing, one for the call, one to stay, the shared one, or no', () => {
  const free = ladder();
  expect(free.find()).toBeUndefined();
  expect(free.find({ unnamed: 'temporary' })).toEqual({ rung: 'policy', session: undefined, own: true });
  expect(free.find({ unnamed: 'lasting' })).toMatchObject({ session: { temporary: false }, own: true });
  const shared = ladder({ sessions: { unidentified: 'principal' } });
  expect(shared.find({ unnamed: 'temporary' })).toMatchObject({
    rung: 'policy',
    session: { name: 'default' },
    own: false,
  });
  expect(shared.idOf()).toBe(shared.idOf({ unnamed: 'lasting' }));
  expect(shared.idOf({ principal: stranger })).not.toBe(shared.idOf());
  const auto = ladder({ sessions: { unidentified: 'auto' } });
  expect(auto.find()).toBeUndefined();
  expect(auto.find({ unnamed: 'lasting' })).toMatchObject({ session: { name: null }, own: true });
  expect(auto.find({ unnamed: 'temporary' })).toMatchObject({ session: { name: 'default' }, own: false });
  const strict = ladder({ sessions: { unidentified: 'reject' } });
  expect(() => strict.find({ unnamed: 'lasting' })).toThrow(
    expect.objectContaining({ code: 'SESSION_REQUIRED' }),
  );
  for (const { world } of [free, shared, auto, strict]) world.store.close();
});

test('a session for one call is gone after it, with its server', async () => {
  const { world, call } = ladder();
  using _ = world;
  const { exchange, outcome } = call({ unnamed: 'temporary' });
  expect(await outcome).toMatchObject({
    result: { _meta: { 'mcp-session-proxy/session': { temporary: true } } },
  });
  expect(exchange.record).toBeUndefined();
  await world.manager.stop('was stopped by the test');
  await world.committed();
  expect(world.running).toEqual([]);
  expect(world.manager.list({ limit: 9 })).toEqual([]);
});

test('requests are counted by rung, and an event tells of a client once, until it comes another way', async () => {
  const { world, find, call } = ladder();
  using _ = world;
  const session = find({ hint })?.session;
  if (!session) throw new Error('no session');
  const address = session.name ?? 'by-address';
  session.rename(address);
  for (const facts of [{ hint }, { hint }, { address }, { address }, { hint }]) await call(facts).outcome;
  expect(session.clients.counts).toEqual({ hint: 3, address: 2 });
  await world.committed();
  const told = session.history
    .read()
    .filter(({ type }) => type === 'attached')
    .map(({ data }) => data);
  expect(told).toEqual(
    ['hint', 'address', 'hint'].map((by) => ({ by, client: { name: 'test', version: '1' } })),
  );
});

test('session_use leads the hint elsewhere; a client that names its session each time is told that it cannot', async () => {
  const { world, find, idOf, call } = ladder();
  using _ = world;
  const other = world.session('other');
  const byHint = call({ hint });
  await byHint.outcome;
  byHint.exchange.use(other.id);
  expect(idOf({ hint })).toBe(other.id);
  const byAddress = call({ address: 'work' });
  await byAddress.outcome;
  expect(() => byAddress.exchange.use(other.id)).toThrow(/cannot be moved/);
  expect(find({ address: 'work' })?.session?.name).toBe('work');
});

test('notifications of a session reach the client that last worked in it, though it is attached to another', async () => {
  const { world, find, call } = ladder();
  using _ = world;
  const client = new FakeClient({ roots: {} });
  const known = world.attachments.attach(world.session(), client.client, true);
  known.attachment.outlet = client;
  await call({ hint, known }, client, known.attachment).outcome;
  const session = find({ hint })?.session;
  session?.notify({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' });
  expect(client.heard.map(({ method }) => method)).toEqual(['notifications/tools/list_changed']);
  expect(session?.outlet('roots')).toBe(client);
  await world.attachments.detach(known);
  expect(session?.outlet('roots')).toBeUndefined();
  expect(session?.state).not.toBe('closed');
});
