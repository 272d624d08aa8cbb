import { expect, test } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import type { Fields, Outcome } from '../../src/protocol/messages.js';
import { KEPT, Notebook } from '../support/notebook.js';
import { FakeClient, said, World } from '../support/world.js';

setLogLevel('silent');

function open(config: Fields = KEPT) {
  const notebook = new Notebook();
  const world = new World({ servers: { one: config }, manners: notebook.manners });
  const session = world.session('work');
  const client = new FakeClient();
  const call = (tool: string, args: Fields = {}) => session.request(client.call(tool, args));
  return { notebook, world, session, call };
}

const sessionOf = (outcome: Outcome) => {
  if (!('result' in outcome)) throw new Error('no result');
  return (outcome.result._meta as Fields)['mcp-session-proxy/session'] as Fields;
};

test('what was saved is brought back before the next call, and its result says so', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  await call('add', { note: 'bread' });
  world.connection().die('was ended by SIGKILL');
  notebook.calls.length = 0;
  const outcome = await call('add', { note: 'eggs' });
  expect(said(outcome)).toContain('3 notes\n- milk\n- bread\n- eggs');
  expect(said(outcome)).toMatch(
    /Server "one" was ended by SIGKILL and was started anew for this call: session restored at 2026-.*Z, as saved at 2026-.*Z\. The cursor is lost\./,
  );
  expect(sessionOf(outcome).lost).toEqual([
    {
      server: 'one',
      reason: 'was ended by SIGKILL',
      restored: {
        at: new Date(world.clock.now()).toISOString(),
        saved: new Date(world.clock.now()).toISOString(),
        note: 'The cursor is lost.',
      },
    },
  ]);
  expect(notebook.calls).toEqual(['2 load', '2 list', '2 add', '2 save', '2 list']);
});

test('the next proxy on the store brings it back as well', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  await world.manager.stop('was stopped with the proxy');
  await world.committed();
  const next = new World({
    servers: { one: KEPT },
    manners: notebook.manners,
    store: world.store,
    instance: 'the next proxy',
  });
  const outcome = await next.session('work').request(new FakeClient().call('list'));
  expect(said(outcome)).toMatch(/was stopped with the proxy.*session restored at .*1 notes\n- milk/s);
});

test('a checkpoint that is cut short does not spoil the one before', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  notebook.failing.add('list');
  await call('add', { note: 'bread' }); // saved to the other slot, then the second step fails
  expect([notebook.disk.get(0), notebook.disk.get(1)]).toEqual([['milk'], ['milk', 'bread']]);
  notebook.failing.clear();
  world.connection().die();
  expect(said(await call('list'))).toContain('1 notes\n- milk');
});

test('a restore that fails is an error result of the call, which is not sent', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  world.connection().die();
  notebook.failing.add('load');
  const outcome = await call('add', { note: 'bread' });
  expect(outcome).toMatchObject({
    result: { isError: true, _meta: { 'mcp-session-proxy/error': 'RESTORE_FAILED' } },
  });
  expect(said(outcome)).toMatch(/could not be restored: load: load failed.*was not sent.*tries again/);
  expect(notebook.calls.filter((one) => one.endsWith('add'))).toEqual(['1 add']);
  expect(world.running).toEqual([]);
  notebook.failing.clear();
  expect(said(await call('list'))).toContain('1 notes\n- milk');
});

test('after three attempts the state is given up, and that is said before the server starts with nothing', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  world.connection().die();
  notebook.failing.add('load');
  expect(said(await call('list'))).toContain('The next call tries again.');
  expect(said(await call('list'))).toContain('The next call tries again.');
  expect(said(await call('list'))).toContain('the next call starts the server with nothing');
  const outcome = await call('list');
  expect(said(outcome)).toMatch(/what it kept in memory .* is lost.*0 notes/s);
});

test('a loss nobody speaks of is found before the call, which goes to the restored server', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  notebook.wipe(world.connection());
  const outcome = await call('add', { note: 'bread' });
  expect(said(outcome)).toMatch(/lost its state \(0 notes\) and was started anew.*2 notes\n- milk\n- bread/s);
  expect(world.starts).toBe(2);
  expect(world.connection().isClosed).toBe(true);
});

test('calls that wait behind one that finds the loss get the restored server too', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  notebook.wipe(world.connection());
  const outcomes = await Promise.all([call('add', { note: 'a' }), call('add', { note: 'b' }), call('list')]);
  expect(outcomes.map(said).every((words) => words.includes('- milk'))).toBe(true);
  expect(world.starts).toBe(2);
});

test('a probe that misses the state forbids the checkpoint', async () => {
  const { world, notebook, call } = open({
    ...KEPT,
    checkpoint: { ...KEPT.checkpoint, every: '30s' },
  });
  using _ = world;
  await call('add', { note: 'milk' });
  await call('other');
  notebook.wipe(world.connection());
  await world.clock.advance(30_000);
  await world.committed();
  expect(notebook.disk).toEqual(new Map([[0, ['milk']]]));
  expect(said(await call('list'))).toContain('- milk');
});

test('what other calls changed is saved after a while, once', async () => {
  const { world, notebook, call } = open({
    ...KEPT,
    checkpoint: { ...KEPT.checkpoint, after: [], every: '30s' },
    probe: undefined,
  });
  using _ = world;
  await call('add', { note: 'milk' });
  expect(notebook.disk.size).toBe(0);
  await world.clock.advance(30_000);
  await world.committed();
  expect([...notebook.disk]).toEqual([[0, ['milk']]]);
  await world.clock.advance(90_000);
  await world.committed();
  expect(notebook.calls.filter((one) => one.endsWith('save'))).toHaveLength(1);
});

test('a result that says the state is gone is passed on, and the next call finds it restored', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  expect(said(await call('break'))).toBe('Error: the notebook is closed');
  expect(world.connection().isClosed).toBe(true);
  const outcome = await call('list');
  expect(said(outcome)).toMatch(/lost its state \(notebook is closed\).*session restored.*- milk/s);
  expect(notebook.calls.filter((one) => one.endsWith('break'))).toHaveLength(1);
});

test('a call that changes nothing is made again at once when it meets a server without its state', async () => {
  const { world, notebook, call } = open({ ...KEPT, probe: undefined });
  using _ = world;
  await call('add', { note: 'milk' });
  world.manners = (request, connection) =>
    connection.number === 1 && request.params?.name === 'list'
      ? { content: [{ type: 'text', text: 'Error: the notebook is closed' }] }
      : notebook.manners(request, connection);
  // The manners of a start are asked anew for each request.
  expect(said(await call('list'))).toMatch(/session restored.*1 notes\n- milk/s);
});

test('calls of a replay list are recorded and sent again in order; all others are not', async () => {
  const { world, notebook, call } = open({ replay: { allow: ['add'] } });
  using _ = world;
  await call('add', { note: 'milk' });
  await call('list');
  notebook.failing.add('add');
  await call('add', { note: 'never' });
  notebook.failing.clear();
  await call('add', { note: 'bread' });
  world.connection().die();
  notebook.calls.length = 0;
  const outcome = await call('list');
  expect(notebook.calls).toEqual(['2 add', '2 add', '2 list']);
  expect(said(outcome)).toMatch(/session restored at .*, by 2 recorded calls\. .*2 notes\n- milk\n- bread/s);
});

test('nothing is sent again of a server without a replay list', async () => {
  const { world, notebook, call } = open({});
  using _ = world;
  await call('add', { note: 'milk' });
  world.connection().die();
  notebook.calls.length = 0;
  expect(said(await call('list'))).toMatch(/is lost/);
  expect(notebook.calls).toEqual(['2 list']);
});

test('a checkpoint holds the recorded calls before it', async () => {
  const { world, notebook, call } = open({ ...KEPT, replay: { allow: ['add'] }, probe: undefined });
  using _ = world;
  await call('add', { note: 'milk' });
  world.connection().die();
  notebook.calls.length = 0;
  expect(said(await call('list'))).toContain('1 notes\n- milk');
  expect(notebook.calls).toEqual(['2 load', '2 list']);
});

test('a call that gives the state up leaves nothing to restore', async () => {
  const { world, notebook, call } = open();
  using _ = world;
  await call('add', { note: 'milk' });
  await call('clear');
  notebook.calls.length = 0;
  world.connection().die();
  expect(said(await call('list'))).toMatch(/is lost.*0 notes/s);
  expect(notebook.calls).toEqual(['2 list']);
});

test('an ordered stop saves what is unsaved and calls the tools of its steps first', async () => {
  const { world, notebook, session, call } = open({
    ...KEPT,
    checkpoint: { ...KEPT.checkpoint, after: [] },
    probe: undefined,
    stop: [{ tool: 'goodbye' }],
  });
  using _ = world;
  await call('add', { note: 'milk' });
  await session.pause('was paused by the test');
  expect(notebook.calls).toEqual(['1 add', '1 save', '1 list', '1 goodbye']);
  expect(world.connection().isClosed).toBe(true);
  expect(said(await call('list'))).toMatch(/was paused by the test.*session restored.*- milk/s);
});

test('with the session end its checkpoint and recorded calls', async () => {
  const { world, session, call } = open({ ...KEPT, replay: { allow: ['other'] } });
  using _ = world;
  await call('add', { note: 'milk' });
  await call('other');
  const rows = () => [
    world.store.checkpoints.get(session.id, 'one') !== undefined,
    world.store.checkpoints.recorded(session.id, 'one').length,
  ];
  expect(rows()).toEqual([true, 1]);
  await world.manager.close(session, 'was closed by the test');
  expect(rows()).toEqual([false, 0]);
});

test('a server with roots of its session is told its folder, and the client is not asked', async () => {
  const { world, call } = open({ roots: 'session' });
  using _ = world;
  await call('list');
  const server = world.connection();
  expect(server.context.client.capabilities).toEqual({ roots: {} });
  server.say({ jsonrpc: '2.0', id: 7, method: 'roots/list' });
  expect(await server.message((message) => 'id' in message && message.id === 7)).toMatchObject({
    result: { roots: [{ uri: expect.stringMatching(/^file:\/\/\/folders\/ses_/) as string }] },
  });
});

test('of a server that keeps its state in its own files clients are told its note, not a loss of all', async () => {
  const { world, call } = open({ restore: { note: 'The graph is as it was.' } });
  using _ = world;
  await call('list');
  world.connection().die();
  expect(said(await call('list'))).toMatch(/session restored at \S+\. The graph is as it was\./);
});
