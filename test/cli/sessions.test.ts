import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { remoteDoor } from '../../src/admin/client.js';
import type {
  Door,
  EventView,
  ItemResult,
  NewSession,
  Reinitialized,
  SessionPage,
  SessionView,
  Snapshot,
  ToolResult,
} from '../../src/admin/door.js';
import { RawClient, textOf } from '../support/client.js';
import { fixture, isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { Shell } from './cli.js';

type Created = SessionView & { existed?: boolean };

/** What a server of these tests does before it counts. */
function script(...lines: string[]) {
  const code = [...lines, `await import(${JSON.stringify(fixture('counter'))});`].join('\n');
  return { command: process.execPath, args: ['--input-type=module', '-e', code] };
}

const ENDLESS = script("process.on('SIGTERM', () => {});", 'setInterval(() => {}, 1000);');

describe('with a proxy that runs', { timeout: 60_000 }, () => {
  const folder = new TemporaryFolder();
  const flag = `${folder.path}/may-start`;
  let proxy: ProxyProcess;
  let shell: Shell;
  let door: Door;

  // What is not under test goes through the door itself, which is quicker than a process.
  const counter = (name: string, options: NewSession = {}) =>
    door.create({ name, servers: ['counter'], ...options });
  const show = (ref: string) => door.info(ref);
  const deadline = async (ref: string) => Date.parse((await show(ref)).expiresAt ?? '');
  const tool = async (ref: string, name: string) => textOf({ result: await door.callTool(ref, name) });
  const pid = async (ref: string) => Number(await tool(ref, 'counter__pid'));

  beforeAll(async () => {
    proxy = await ProxyProcess.start(folder, {
      sessions: { state: { language: 'en', colour: 'red' } },
      servers: {
        counter: local('counter'),
        spare: local('counter'),
        endless: ENDLESS,
        late: script(
          "import { existsSync } from 'node:fs';",
          `if (!existsSync(${JSON.stringify(flag)})) process.exit(1);`,
        ),
      },
    });
    shell = new Shell(`${folder.path}/mcp-proxy.yaml`);
    door = remoteDoor(new URL(proxy.url).origin);
  });

  afterAll(async () => {
    await proxy.stop();
    folder[Symbol.dispose]();
  });

  // -- making and finding ----------------------------------------------------------------------------------------

  test('T15 sessions summary keeps a text up to an event and prints it', async () => {
    await counter('summed');
    await tool('summed', 'counter__increment');
    expect(await shell.text('summary', 'summed')).toBe('No summary.');
    expect(await shell.text('summary', 'summed', '--set', 'It counted.')).toMatch(
      /^Summed up to event \d+\.$/,
    );
    expect(await shell.text('summary', 'summed')).toBe('It counted.');
    expect(await shell.json('summary', 'summed', '--set', 'It began.', '--up-to', '1')).toMatchObject({
      text: 'It began.',
      upTo: 1,
    });
  });

  test('M2 sessions create makes one that stays, and its name is taken', async () => {
    expect(await shell.text('create', 'made', '--server', 'counter')).toMatch(/^Created made \(ses_\S+\)\.$/);
    expect(await show('made')).toMatchObject({ name: 'made', state: 'idle', temporary: false });
    expect(await shell.run('create', 'made')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'mcp-session-proxy: There is a session "made" already. Use it, or choose another name.\n',
    });
    const args = ['create', 'made-bound', '--server', 'counter', '--bind'];
    const bound = await shell.json<SessionView>(...args);
    expect(bound).toMatchObject({ state: 'active', bindings: [{ server: 'counter', state: 'connected' }] });
  });

  test('F9 sessions create and close take many, and one that fails stops no other', async () => {
    await counter('many-2');
    const made = await shell.run('create', 'many-1', 'many-2', 'many-3', '--json');
    expect(made.code).toBe(1);
    expect((JSON.parse(made.stdout) as ItemResult<Created>[]).map(({ ok }) => ok)).toEqual([
      true,
      false,
      true,
    ]);
    expect(await shell.text('close', 'many-1', 'many-2', 'nobody')).toBe(
      'Closed many-1.\nClosed many-2.\nThere was no open session nobody.',
    );
    expect(await shell.json('close', 'many-3', 'many-1')).toEqual([
      { ok: true, value: true },
      { ok: true, value: false },
    ]);
  });

  test('F10 sessions create lays what is given over what is configured', async () => {
    const given = ['--server', 'counter', '--state', 'language="de"', '--state', 'n=1', '--state', 't=text'];
    await shell.text('create', 'configured', ...given);
    const state = { language: 'de', colour: 'red', n: 1, t: 'text' };
    expect(await door.getState('configured')).toEqual(state);
    const { bindings } = await show('configured');
    expect(bindings.map(({ server }) => server)).toEqual(['counter']);
  });

  test('M11 sessions show --json has every field, and the screen shows them to people', async () => {
    await counter('shown');
    await tool('shown', 'counter__increment');
    const view = await shell.json<SessionView>('show', 'shown');
    expect(view).toMatchObject({
      name: 'shown',
      principal: 'local',
      scope: 'agent',
      state: 'active',
      temporary: false,
      bindings: [{ server: 'counter', scope: 'session', state: 'connected', generation: 1 }],
    });
    for (const time of [view.createdAt, view.updatedAt, view.lastActiveAt, view.expiresAt]) {
      expect(time).toBe(new Date(time ?? '').toISOString());
    }
    const screen = await shell.text('show', 'shown', '--tools');
    expect(screen).toContain(view.id);
    expect(screen).toMatch(/^due +in (29|30)m /m);
    expect(screen).toMatch(/^tools +5$/m);
    expect(screen).toMatch(/^keys +language, colour$|^keys +colour, language$/m);
    expect(screen).toMatch(new RegExp(`^counter +connected +session +1 +${view.bindings[0]?.pid} +5$`, 'm'));
    expect(screen).toMatch(/^\d+ +(now|\d+s ago) +call +tool=counter__increment .*ok=true/m);
  });

  test('M13 sessions show tells within a second that a server died', async () => {
    await counter('dying');
    process.kill(await pid('dying'), 'SIGKILL');
    await until(async () => /^counter +disconnected +session +1$/m.test(await shell.text('show', 'dying')));
  });

  test('T7 sessions ls lists by last change, goes on with --cursor, and picks by state', async () => {
    for (const name of ['first', 'second', 'third']) await counter(name);
    await door.update('first', { name: 'first-again' });
    const page = await shell.json<SessionPage>('ls', '--limit', '2');
    expect(page.sessions.map(({ name }) => name)).toEqual(['first-again', 'third']);
    const next = await shell.json<SessionPage>('ls', '--limit', '1', '--cursor', page.nextCursor ?? '');
    expect(next.sessions.map(({ name }) => name)).toEqual(['second']);
    await door.close('third');
    const closed = await shell.json<SessionPage>('ls', '--state', 'closed', '--limit', '1');
    expect(closed.sessions).toMatchObject([{ name: 'third', state: 'closed', expiresAt: null }]);
    expect(await shell.text('ls', '--limit', '2')).toMatch(
      /^NAME +ID +STATE +SERVERS +DUE +USED +OWNER\nfirst-again +ses_\S+ +idle +in (29|30)m +(now|\d+s ago) +you\n.*\nThere are more: --cursor \S+$/,
    );
    expect((await shell.run('ls', '--state', 'asleep')).code).toBe(2);
  });

  test('F8 looking at a session never refreshes its deadline', async () => {
    const { id } = await counter('looked-at', { bind: true });
    await door.saveSnapshot(id, 'first');
    const before = await show(id);
    await shell.text('ls');
    await shell.text('show', id);
    await shell.text('events', id);
    await shell.text('state', 'ls', id);
    await shell.text('state', 'get', id, 'language');
    await shell.text('snapshots', id);
    await shell.text('load', id, 'first');
    await shell.text('stats');
    await shell.text('wait', id);
    expect(await show(id)).toEqual(before);
  });

  // -- life ------------------------------------------------------------------------------------------------------

  test('M8 sessions extend moves the deadline by exactly 3600 seconds', async () => {
    await counter('extended');
    const before = await deadline('extended');
    await shell.text('extend', 'extended', '3600');
    expect(await deadline('extended')).toBe(before + 3_600_000);
    expect(await shell.text('extend', 'extended', '90m')).toMatch(/^extended is idle, due in 2h 59m|3h\.$/);
    expect(await deadline('extended')).toBe(before + 9_000_000);
  });

  test('F6 sessions refresh moves one deadline to now and ttl, or those of all', async () => {
    await counter('refreshed');
    const before = await deadline('refreshed');
    const { expiresAt } = await shell.json<SessionView>('refresh', 'refreshed');
    expect(Date.parse(expiresAt ?? '')).toBeGreaterThan(before);
    expect(await shell.json('refresh', '--all')).toBeGreaterThan(0);
    expect(await deadline('refreshed')).toBeGreaterThan(Date.parse(expiresAt ?? ''));
    expect((await shell.run('refresh')).code).toBe(2);
  });

  test('F4 sessions create --ttl and set --ttl give a session its own idle time', async () => {
    await shell.text('create', 'brief', '--server', 'counter', '--ttl', '10s');
    const idle = async () => {
      const { expiresAt, lastActiveAt } = await show('brief');
      return Date.parse(expiresAt ?? '') - Date.parse(lastActiveAt);
    };
    expect(await idle()).toBe(10_000);
    await shell.text('set', 'brief', '--ttl', '2h');
    expect(await idle()).toBe(7_200_000);
    await shell.text('set', 'brief', '--ttl', 'default');
    expect(await idle()).toBe(1_800_000);
  });

  test('S12 sessions set changes what is given and nothing else', async () => {
    const before = await counter('patched', { ttlSeconds: 10 });
    const after = await shell.json<SessionView>('set', 'patched', '--name', 'patched-2');
    expect(after).toMatchObject({ id: before.id, name: 'patched-2', expiresAt: before.expiresAt });
    expect(await shell.json('set', 'patched-2', '--name', '')).toMatchObject({ id: before.id, name: null });
    const call = door.callTool(before.id, 'counter__sleep', { ms: 2000 });
    await until(async () => (await show(before.id)).expiresAt === null);
    expect(await shell.run('set', before.id, '--ttl', '1m')).toMatchObject({ code: 1, stdout: '' });
    await call;
  });

  test('G2 sessions pause ends the processes of a session and keeps its state', async () => {
    await counter('paused', { state: { note: 'kept' } });
    const process = await pid('paused');
    expect(await shell.text('pause', 'paused')).toMatch(/^paused is paused/);
    expect(isAlive(process)).toBe(false);
    expect(await door.getValue('paused', 'note')).toMatchObject({ value: 'kept' });
  });

  test('G3 sessions resume starts the servers of the same session', async () => {
    const { id } = await counter('resumed', { bind: true });
    await door.pause('resumed');
    const session = await shell.json<SessionView>('resume', 'resumed');
    expect(session).toMatchObject({ id, state: 'active', bindings: [{ state: 'connected', generation: 2 }] });
    expect(isAlive(session.bindings[0]?.pid ?? 0)).toBe(true);
  });

  test('M7 sessions restart gives new processes; id and state stay', async () => {
    const { id } = await counter('restarted', { state: { note: 'kept' } });
    const before = await pid('restarted');
    const after = await shell.json<SessionView>('restart', 'restarted');
    expect(after).toMatchObject({ id, bindings: [{ generation: 2, state: 'connected' }] });
    expect(await pid('restarted')).not.toBe(before);
    expect(isAlive(before)).toBe(false);
    expect(await door.getValue('restarted', 'note')).toMatchObject({ value: 'kept' });
  });

  test('G5 sessions recover tries again what could not be started', async () => {
    await door.create({ name: 'recovered', servers: ['late'] });
    expect((await shell.run('call', 'recovered', 'late__increment')).code).toBe(1);
    expect(await show('recovered')).toMatchObject({ state: 'error', bindings: [{ state: 'failed' }] });
    expect((await shell.run('recover', 'recovered')).code).toBe(1);
    folder.file('may-start', '');
    expect(await shell.json('recover', 'recovered')).toMatchObject({
      state: 'active',
      bindings: [{ state: 'connected' }],
    });
  });

  test('M17 sessions wait returns when the servers run, or says what it waited for', async () => {
    await counter('awaited');
    const early = await shell.run('wait', 'awaited', '--timeout', '0.2s');
    expect(early).toMatchObject({ code: 1, stdout: '' });
    expect(early.stderr).toBe(
      'mcp-session-proxy: Session "awaited" is not ready after 0.2s: it is idle, with counter unbound.\n',
    );
    const waiting = shell.start('wait', 'awaited', '--server', 'counter');
    await door.resume('awaited');
    expect(await waiting.ended).toMatchObject({ code: 0 });
  });

  test('G15 sessions fork copies state and not connections, and leaves the source as it was', async () => {
    await counter('source', { state: { note: 'kept' }, ttlSeconds: 10 });
    await tool('source', 'counter__increment');
    const source = await show('source');
    const fork = await shell.json<SessionView>('fork', 'source', 'forked');
    expect(fork).toMatchObject({
      name: 'forked',
      state: 'idle',
      bindings: [{ state: 'unbound', generation: 0 }],
    });
    expect(fork.id).not.toBe(source.id);
    expect(await door.getValue('forked', 'note')).toMatchObject({ value: 'kept' });
    expect(Date.parse(fork.expiresAt ?? '') - Date.parse(fork.lastActiveAt)).toBe(10_000);
    expect(await show('source')).toEqual(source);
    expect(await tool('forked', 'counter__increment')).toBe('1');
  });

  test('G15 sessions rename moves a session to another name, unless it is taken', async () => {
    const { id } = await counter('old-name');
    expect(await shell.text('rename', 'old-name', 'new-name')).toMatch(/^new-name is idle/);
    expect(await show('new-name')).toMatchObject({ id });
    expect(await door.find('old-name')).toBeNull();
    await counter('old-name');
    expect((await shell.run('rename', 'old-name', 'new-name')).code).toBe(1);
  });

  test('M10 sessions close ends a session once and for all, and frees its name', async () => {
    const { id } = await counter('ended');
    const process = await pid('ended');
    expect(await shell.json('close', 'ended')).toBe(true);
    expect(isAlive(process)).toBe(false);
    expect(await shell.json('close', 'ended')).toBe(false);
    const { code, stderr } = await shell.run('call', id, 'counter__get');
    expect([code, stderr]).toEqual([
      1,
      `mcp-session-proxy: Session "${id}" is closed for good. Create a new one.\n`,
    ]);
    expect((await counter('ended')).id).not.toBe(id);
  });

  test('G6 sessions close --force ends a server that does not listen, within 5 seconds', async () => {
    await door.create({ name: 'hung', servers: ['endless'] });
    const process = Number(await tool('hung', 'endless__pid'));
    const call = shell.start('call', 'hung', 'endless__sleep', '--args', '{"ms":60000}');
    await until(async () => (await show('hung')).expiresAt === null);
    const begun = Date.now();
    expect(await shell.text('close', 'hung', '--force')).toBe('Closed hung.');
    expect(Date.now() - begun).toBeLessThan(5000);
    expect(isAlive(process)).toBe(false);
    expect((await call.ended).code).toBe(1);
  });

  test('T12 sessions close --purge leaves nothing, and the name begins anew', async () => {
    const { id } = await counter('purged', { state: { note: 'old' } });
    await shell.text('close', 'purged', '--purge');
    await expect(door.info(id)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' });
    await counter('purged');
    expect(await door.getState('purged')).not.toHaveProperty('note');
  });

  // -- servers and tools -----------------------------------------------------------------------------------------

  test('M6 sessions call calls a tool with arguments, and prints its text or the result as JSON', async () => {
    await counter('called');
    const args = ['call', 'called', 'counter__echo', '--args', '{"text":"two\\nlines"}'];
    expect(await shell.text(...args)).toBe('two\nlines');
    expect(await shell.json(...args)).toMatchObject({
      content: [{ type: 'text', text: 'two\nlines' }],
      _meta: { 'mcp-session-proxy/session': { name: 'called', temporary: false } },
    });
    const piped = new Shell(shell.config, { input: '{"text":"piped"}' });
    expect(await piped.text('call', 'called', 'counter__echo', '--args', '-')).toBe('piped');
    expect((await shell.run('call', 'called', 'counter__nothing')).code).toBe(1);
    expect((await shell.run('call', 'called', 'counter__echo', '--args', '[1]')).code).toBe(2);
    expect((await shell.run('call', 'called')).code).toBe(2);
  });

  test('F15 sessions batch stops at the first error, or reports all with --parallel', async () => {
    await counter('batched');
    const calls = ['counter__increment', 'counter__nothing', 'counter__increment'].map((tool) => ({ tool }));
    const piped = new Shell(shell.config, { input: JSON.stringify(calls) });
    const stopped = await piped.run('batch', 'batched', '-', '--json');
    expect(stopped.code).toBe(1);
    const results = JSON.parse(stopped.stdout) as ItemResult<ToolResult>[];
    expect(results.map(({ ok }) => ok)).toEqual([true, false]);
    const all = await shell.run('batch', 'batched', JSON.stringify(calls), '--parallel');
    expect(all.code).toBe(1);
    expect(all.stdout).toMatch(/^1: 2\n2: .+\n3: 3\n$/);
    expect((await shell.run('batch', 'batched', '[{"name":"x"}]')).code).toBe(2);
  });

  test('F1 sessions call --temp leaves no process and no row', async () => {
    const all = async () => {
      const states: SessionView['state'][] = ['idle', 'active', 'paused', 'error', 'closed'];
      const { sessions } = await door.list({ states, limit: 500 });
      return sessions.map(({ id }) => id).sort();
    };
    const before = await all();
    const process = Number(await shell.text('call', '--temp', 'counter__pid'));
    expect(isAlive(process)).toBe(false);
    expect((await shell.run('call', '--temp', 'counter__nothing')).code).toBe(1);
    expect(await all()).toEqual(before);
  });

  test('F2 sessions call in one session goes on in one process', async () => {
    await counter('counted');
    for (const count of ['1', '2', '3']) {
      expect(await shell.text('call', 'counted', 'counter__increment')).toBe(count);
    }
  });

  test('M12 sessions tools lists what the servers of a session offer', async () => {
    await counter('tooled');
    const tools = await shell.json<{ name: string }[]>('tools', 'tooled');
    expect(tools.map(({ name }) => name)).toEqual(
      ['increment', 'get', 'pid', 'echo', 'sleep'].map((name) => `counter__${name}`),
    );
    expect(await shell.text('tools', 'tooled')).toMatch(/^TOOL +DESCRIPTION\ncounter__increment\n/);
  });

  test('M5 sessions bind adds a server once, unbind takes it away', async () => {
    await counter('bound');
    await shell.text('bind', 'bound', 'spare');
    expect(await shell.text('bind', 'bound', 'spare')).toMatch(
      /Servers: counter unbound, spare connected\.$/,
    );
    const { bindings } = await show('bound');
    const process = bindings.find(({ server }) => server === 'spare')?.pid ?? 0;
    expect(await shell.text('unbind', 'bound', 'spare')).toMatch(/Servers: counter unbound\.$/);
    expect(isAlive(process)).toBe(false);
    expect((await shell.run('bind', 'bound', 'nobody')).code).toBe(1);
  });

  test('F7 sessions reinitialize replaces one server and keeps the old one if that fails', async () => {
    await counter('replaced');
    const before = await pid('replaced');
    const args = ['reinitialize', 'replaced', 'counter', '--env', 'COLOUR=green'];
    const bad = await shell.run(...args, '--', '/nowhere.mjs');
    expect(bad.code).toBe(1);
    expect(await pid('replaced')).toBe(before);
    const good = await shell.json<Reinitialized>(...args, '--', fixture('counter'));
    expect(good).toMatchObject({ configApplied: true });
    expect(good.newBindingId).not.toBe(good.oldBindingId);
    expect(await pid('replaced')).not.toBe(before);
  });

  test('M9 sessions clear-cache starts nothing anew', async () => {
    await counter('cached');
    const before = await pid('cached');
    expect(await shell.json('clear-cache', 'cached')).toBeNull();
    expect(await pid('cached')).toBe(before);
  });

  // -- state and history -----------------------------------------------------------------------------------------

  test('G8 sessions state sets, gets, lists and removes values of JSON and of text', async () => {
    await counter('stateful');
    expect(await shell.text('state', 'set', 'stateful', 'a', '{"b":[1,2]}')).toBe('a is at version 1.');
    expect(await shell.json('state', 'set', 'stateful', 'a', '{"c":3}', '--merge')).toEqual({
      value: { b: [1, 2], c: 3 },
      version: 2,
    });
    await shell.text('state', 'set', 'stateful', 'digits', '007', '--text');
    const piped = new Shell(shell.config, { input: '[1]' });
    await piped.text('state', 'set', 'stateful', 'piped', '-');
    expect(await shell.json('state', 'get', 'stateful', 'a')).toEqual({
      value: { b: [1, 2], c: 3 },
      version: 2,
    });
    expect(await shell.text('state', 'get', 'stateful', 'digits')).toBe('007');
    expect(await shell.text('state', 'ls', 'stateful')).toMatch(/^KEY +VALUE\na +\{"b":\[1,2\],"c":3\}\n/);
    expect(await shell.text('state', 'rm', 'stateful', 'a')).toBe('Deleted a.');
    expect(await shell.json('state', 'rm', 'stateful', 'a')).toBe(false);
    expect(await shell.json('state', 'get', 'stateful', 'piped')).toMatchObject({ value: [1] });
  });

  test('T1 sessions state ls shows app:, user: and plain keys of a session', async () => {
    await counter('levels');
    for (const key of ['app:motto', 'user:mood', 'plain']) await door.setValue('levels', key, key);
    await counter('other-levels');
    const values = await shell.json('state', 'ls', 'other-levels');
    expect(values).toMatchObject({ 'app:motto': 'app:motto', 'user:mood': 'user:mood' });
    expect(values).not.toHaveProperty('plain');
    await door.deleteValue('levels', 'app:motto');
    await door.deleteValue('levels', 'user:mood');
  });

  test('T8 sessions state set takes a key only at a level that there is', async () => {
    await counter('prefixed');
    expect(await shell.run('state', 'set', 'prefixed', 'world:key', '1')).toMatchObject({
      code: 2,
      stdout: '',
    });
    expect((await shell.run('state', 'set', 'prefixed', 'a', '1', '--if-version', '4')).code).toBe(1);
    expect((await shell.run('state', 'set', 'prefixed', 'a', '1', '--if-version', 'x')).code).toBe(2);
  });

  test('T3 what is not there ends with one sentence and exit code 1', async () => {
    await counter('there');
    for (const args of [
      ['show', 'nobody'],
      ['state', 'get', 'there', 'nothing'],
      ['events', 'nobody'],
    ]) {
      const { code, stdout, stderr } = await shell.run(...args);
      expect([code, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(/^mcp-session-proxy: There is no .*\n$/);
    }
  });

  test('S15 sessions rollback makes the state what it was at a revision', async () => {
    await counter('rolled', { state: { n: 1 } });
    expect(await shell.text('save', 'rolled', 'point')).toBe('Saved point, revision 1.');
    await door.setValue('rolled', 'n', 2);
    await door.setValue('rolled', 'new', 'x');
    expect(await shell.json('save', 'rolled', 'point')).toMatchObject({ name: 'point', revision: 2 });
    const revisions = await shell.json<Snapshot[]>('snapshots', 'rolled', 'point');
    expect(revisions.map(({ revision }) => revision)).toEqual([1, 2]);
    await shell.text('rollback', 'rolled', 'point', '--revision', '1');
    expect(await door.getState('rolled')).toMatchObject({ n: 1 });
    expect(await door.getState('rolled')).not.toHaveProperty('new');
    expect((await shell.run('rollback', 'rolled', 'point', '--revision', '9')).code).toBe(1);
  });

  test('S3 sessions load of what was never saved is null, or with --must-exist an error', async () => {
    await counter('loaded');
    await shell.text('save', 'loaded', 'memory', '--value', '{"facts":["one"]}');
    expect(JSON.parse(await shell.text('load', 'loaded', 'memory'))).toEqual({ facts: ['one'] });
    expect(await shell.json('load', 'loaded', 'nothing')).toBeNull();
    expect((await shell.run('load', 'loaded', 'nothing', '--must-exist')).code).toBe(1);
    expect((await shell.run('load', 'nobody', 'memory')).code).toBe(1);
  });

  test('T4 sessions events gives exactly the last n, oldest first, or those since a time', async () => {
    await counter('eventful');
    for (const n of [1, 2, 3, 4]) await door.setValue('eventful', 'n', n);
    const all = await shell.json<EventView[]>('events', 'eventful');
    expect(all.map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(await shell.json('events', 'eventful', '-n', '2')).toEqual(all.slice(-2));
    expect(await shell.json('events', 'eventful', '--since', all[3]?.at ?? '')).toEqual(all.slice(3));
    expect(await shell.json('events', 'eventful', '--after', '4')).toEqual(all.slice(4));
    expect(await shell.json('events', 'eventful', '--since', '10m')).toEqual(all);
    expect(await shell.text('events', 'eventful', '-n', '1')).toMatch(
      /^SEQ +WHEN +EVENT +WHAT\n5 +(now|\d+s ago) +state set +key=n version=4$/,
    );
  });

  test('T14 sessions events --track reads a track of its own', async () => {
    await counter('tracked');
    await door.appendEvent('tracked', 'trace', 'span', { ms: 5 });
    expect(await shell.json('events', 'tracked', '--track', 'trace')).toMatchObject([
      { seq: 1, type: 'span', data: { ms: 5 } },
    ]);
    expect(await shell.json('events', 'tracked')).toHaveLength(1);
  });

  test('T11 sessions events --follow prints calls as they happen, until Ctrl-C', async () => {
    await counter('followed');
    const following = shell.start('events', 'followed', '--follow');
    const asJson = shell.start('events', 'followed', '--follow', '-n', '0', '--json');
    await until(() => /created/.test(following.stdout));
    // The other one prints nothing yet: it is there when a change of ours reaches it.
    await until(async () => {
      await door.setValue('followed', 'n', 1);
      return asJson.stdout !== '';
    });
    await tool('followed', 'counter__increment');
    await until(() => /call .*tool=counter__increment/.test(following.stdout));
    following.process.kill('SIGINT');
    expect((await following.ended).code).toBe(0);
    await door.close('followed');
    const { code, stdout } = await asJson.ended;
    expect(code).toBe(0);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as EventView);
    expect(events.map(({ type }) => type)).toContain('call');
    expect(events.at(-1)).toMatchObject({ type: 'state', data: { to: 'closed' } });
    expect(new Set(events.map(({ seq }) => seq)).size).toBe(events.length);
  });

  // -- all together ----------------------------------------------------------------------------------------------

  test('T6 sessions close twice is no error, and the session is listed no more', async () => {
    await counter('deleted');
    for (const _ of [1, 2]) expect((await shell.run('close', 'deleted')).code).toBe(0);
    expect(await shell.text('ls', '--limit', '500')).not.toMatch(/^deleted /m);
  });

  test('a session that a client opened by its address is the one that the command line names', async () => {
    const client = await RawClient.open(`${proxy.url}/s/addressed`);
    expect(await client.text('counter__increment')).toBe('1');
    expect(await shell.text('call', 'addressed', 'counter__increment')).toBe('2');
    expect(existsSync(`${folder.path}/store.db`)).toBe(true);
  });

  test('M19 sessions stats counts, gc ends what is due, close --all closes yours', async () => {
    const stats = await shell.json<{ sessions: Record<string, number>; running: number }>('stats');
    expect(stats.sessions.closed).toBeGreaterThan(0);
    expect(await shell.text('stats')).toMatch(/^WHAT +COUNT\n(.*\n)*running +\d+\nrequests +0$/);
    await shell.json('gc'); // what other tests made and left
    expect(await shell.json('gc')).toMatchObject({ paused: 0, deleted: 0 });
    const { sessions } = await shell.json<SessionPage>('ls', '--limit', '500');
    expect(await shell.json('close', '--all')).toBe(sessions.length);
    expect(await shell.text('ls')).toBe('No sessions.');
    expect(await shell.json('stats')).toMatchObject({ running: 0, requests: 0 });
  });
});
