import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SessionPage, SessionView } from '../../src/admin/door.js';
import { openSqliteStore } from '../../src/store/sqlite.js';
import { CLI, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { Run, Shell, type Ended } from './cli.js';

const STORED = { store: './store.db', servers: { counter: local('counter') } };

/** The command line of a config that no proxy serves. */
function shellIn(folder: TemporaryFolder, config: Record<string, unknown> = STORED): Shell {
  return new Shell(folder.file('mcp-proxy.yaml', JSON.stringify(config)));
}

/** One sentence on stderr, and nothing else. */
function sentence({ stdout, stderr }: Ended): string {
  expect(stdout).toBe('');
  const [, text = ''] = /^mcp-session-proxy: (.*)\n$/.exec(stderr) ?? [];
  expect(stderr).toBe(`mcp-session-proxy: ${text}\n`);
  return text;
}

describe('without a proxy', { timeout: 60_000 }, () => {
  test('sessions are made, changed and looked at in the store, and no server is started', async () => {
    using folder = new TemporaryFolder();
    const trace = `${folder.path}/started`;
    const code = `require('node:fs').writeFileSync(${JSON.stringify(trace)}, '')`;
    const shell = shellIn(folder, {
      store: './store.db',
      servers: { traced: { command: process.execPath, args: ['-e', code] } },
    });
    expect(await shell.text('ls')).toBe('No sessions.');
    const { id } = await shell.json<SessionView>('create', 'work', '--state', 'n=1');
    await shell.text('extend', 'work', '1h');
    await shell.text('save', 'work', 'point');
    await shell.text('state', 'set', 'work', 'n', '2');
    const before = await shell.json<SessionView>('show', 'work');
    expect(before).toMatchObject({ id, name: 'work', state: 'idle', bindings: [{ state: 'unbound' }] });
    expect(await shell.json('state', 'ls', 'work')).toEqual({ n: 2 });
    expect(await shell.text('events', 'work', '-n', '1')).toMatch(/state set +key=n version=2$/);
    expect(await shell.json('show', 'work')).toEqual(before);
    await shell.text('rollback', 'work', 'point');
    expect(await shell.text('state', 'get', 'work', 'n')).toBe('1');
    expect(await shell.text('close', 'work')).toBe('Closed work.');
    expect(existsSync(trace)).toBe(false);
  });

  test('sessions call starts the server it needs, says that it ended, and the next call tells the loss', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    await shell.text('create', 'work');
    const first = await shell.run('call', 'work', 'increment');
    expect([first.code, first.stdout]).toEqual([0, '1\n']);
    expect(first.stderr).toMatch(/^mcp-session-proxy: no proxy runs here, .* ended with it\.\n$/);
    expect(await shell.text('call', 'work', 'increment')).toMatch(/counter.*lost.*\n1$/s);
    const temporary = await shell.run('call', '--temp', 'increment');
    expect(temporary).toEqual({ code: 0, stdout: '1\n', stderr: '' });
  });

  test('what can only happen in a proxy is not waited for', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    await shell.text('create', 'work');
    for (const args of [
      ['events', 'work', '--follow'],
      ['wait', 'work'],
    ]) {
      const ended = await shell.run(...args);
      expect(ended.code).toBe(1);
      expect(sentence(ended)).toMatch(
        /^No proxy runs on the store .*store\.db, so nothing will happen there\./,
      );
    }
  });

  test(
    'T18 two processes that get or create one name at once make one session',
    { timeout: 60_000 },
    async () => {
      using folder = new TemporaryFolder();
      const shell = shellIn(folder);
      const twenty = async () => {
        const ids: string[] = [];
        for (let i = 0; i < 20; i++)
          ids.push((await shell.json<SessionView>('create', 'one', '--or-get')).id);
        return ids;
      };
      const ids = (await Promise.all([twenty(), twenty()])).flat();
      expect(ids).toHaveLength(40);
      expect(new Set(ids).size).toBe(1);
      const store = openSqliteStore(`${folder.path}/store.db`);
      expect(store.sessions.list({ limit: 100 }).map(({ id }) => id)).toEqual([ids[0]]);
      store.close();
    },
  );

  test('a command waits for another one that uses the store', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    const call = shell.start('call', '--temp', 'sleep', '--args', '{"ms":1500}');
    await until(() => existsSync(`${folder.path}/store.db`));
    expect(await shell.text('create', 'work')).toMatch(/^Created work/);
    expect(await call.ended).toMatchObject({ code: 0, stdout: 'slept 1500\n' });
  });

  test('a proxy that serves stdio alone is named as the one that cannot be reached', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    const proxy = spawn(process.execPath, [CLI, '--config', shell.config, '--stdio', '--no-daemon'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    await until(() => existsSync(`${folder.path}/store.db`));
    const ended = await shell.run('ls');
    expect(ended.code).toBe(1);
    expect(sentence(ended)).toContain(
      `The process ${proxy.pid} uses the store ${folder.path}/store.db and has no URL`,
    );
    const exited = once(proxy, 'exit');
    proxy.stdin.end();
    await exited;
    expect(await shell.text('ls')).toBe('No sessions.');
  });

  test('a proxy that was killed is no hindrance, and its sessions are paused', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, STORED);
    const shell = new Shell(`${folder.path}/mcp-proxy.yaml`);
    await shell.text('create', 'work', '--bind');
    expect(await shell.text('ls')).toMatch(/^work +ses_\S+ +active +counter +in /m);
    await proxy.kill();
    expect(await shell.text('ls')).toMatch(/^work +ses_\S+ +paused +counter \(disconnected\) /m);
  });

  test('of two proxies on one store the command line asks which is meant', async () => {
    using folder = new TemporaryFolder();
    await using one = await ProxyProcess.start(folder, STORED);
    await using two = await ProxyProcess.start(folder, STORED);
    const shell = new Shell(`${folder.path}/mcp-proxy.yaml`);
    const ended = await shell.run('ls');
    expect(ended.code).toBe(2);
    for (const { url } of [one, two]) expect(sentence(ended)).toContain(new URL(url).origin);
    expect(await shell.text('ls', '--url', one.url)).toBe('No sessions.');
  });

  test('a store in memory is that of the proxy alone', async () => {
    using folder = new TemporaryFolder();
    const config = { ...STORED, store: ':memory:' };
    const ended = await shellIn(folder, config).run('ls');
    expect(ended.code).toBe(2);
    expect(sentence(ended)).toMatch(/in memory .* --url\.$/);
    await using proxy = await ProxyProcess.start(folder, config);
    expect(await shellIn(folder, config).text('ls', '--url', proxy.url)).toBe('No sessions.');
  });
});

describe('exit codes', { timeout: 60_000 }, () => {
  test('help is no error; a command line or config at fault ends with 2', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    const bad = folder.file('bad.yaml', 'servers: {}');
    const codeOf = async (...args: string[]) => (await new Run(args).ended).code;
    expect(await codeOf('sessions', '--help')).toBe(0);
    expect(await codeOf('sessions')).toBe(2);
    expect(await codeOf('sessions', 'dance')).toBe(2);
    expect(await codeOf('sessions', 'show')).toBe(2);
    expect(await codeOf('sessions', 'ls', '--config', bad)).toBe(2);
    expect((await shell.run('ls', '--nonsense')).code).toBe(2);
    expect((await shell.run('ls', '--limit', 'many')).code).toBe(2);
    expect((await shell.run('ls', '--cursor', 'no-cursor')).code).toBe(2);
    expect((await shell.run('create', '../x')).code).toBe(2);
    expect((await shell.run('extend', 'work', 'soon')).code).toBe(2);
  });

  test('a proxy that does not answer ends with one sentence and 1, a URL that is none with 2', async () => {
    using folder = new TemporaryFolder();
    const shell = shellIn(folder);
    const nobody = await shell.run('ls', '--url', 'http://127.0.0.1:9');
    expect(nobody.code).toBe(1);
    expect(sentence(nobody)).toContain('http://127.0.0.1:9');
    const none = await shell.run('ls', '--url', 'proxy');
    expect(none.code).toBe(2);
    expect(sentence(none)).toBe('--url proxy: expected the URL of a proxy, like http://127.0.0.1:8808.');
  });
});

describe('with a proxy that wants tokens', { timeout: 60_000 }, () => {
  const TOKENS = {
    alice: 'alice-has-this-token',
    bob: 'bob-has-another-token',
    root: 'root-may-do-everything',
  };
  const folder = new TemporaryFolder();
  let proxy: ProxyProcess;
  let nobody: Shell;
  let alice: Shell;
  let bob: Shell;
  let root: Shell;

  beforeAll(async () => {
    proxy = await ProxyProcess.start(folder, {
      ...STORED,
      auth: {
        tokens: Object.entries(TOKENS).map(([name, value]) => ({ name, value, admin: name === 'root' })),
      },
    });
    nobody = new Shell(`${folder.path}/mcp-proxy.yaml`);
    alice = nobody.as(TOKENS.alice);
    bob = nobody.as(TOKENS.bob);
    root = nobody.as(TOKENS.root);
  });

  afterAll(async () => {
    await proxy.stop();
    folder[Symbol.dispose]();
  });

  test('M14 S7 sessions of one name are one for each principal, and nobody sees those of another', async () => {
    await alice.text('create', 'work');
    await bob.text('create', 'work');
    expect(await alice.text('call', 'work', 'increment')).toBe('1');
    expect(await alice.text('call', 'work', 'increment')).toBe('2');
    expect(await bob.text('call', 'work', 'increment')).toBe('1');
    const [own] = (await alice.json<SessionPage>('ls')).sessions;
    expect(own).toMatchObject({ name: 'work', principal: 'token:alice' });
    expect((await bob.run('show', own?.id ?? '')).stderr).toContain(`There is no session "${own?.id}"`);
    await bob.text('create', 'everybody', '--store');
    expect(await alice.text('ls')).toMatch(/^everybody .* everybody$/m);
  });

  test('sessions ls --user and --all are for administrators', async () => {
    const refused = await alice.run('ls', '--user', 'token:bob');
    expect([refused.code, sentence(refused)]).toEqual([1, 'Only administrators see the sessions of others.']);
    const { sessions } = await root.json<SessionPage>('ls', '--user', 'token:bob');
    expect(sessions.map(({ principal }) => principal)).toEqual(['token:bob']);
    expect(await root.text('ls', '--all')).toMatch(
      /token:alice\n(.*\n)*.*token:bob|token:bob\n(.*\n)*.*token:alice/,
    );
  });

  test('M15 sessions share lets another principal use a session under its alias', async () => {
    await alice.text('create', 'shared');
    const pid = await alice.text('call', 'shared', 'pid');
    expect((await bob.run('call', '@team', 'pid')).code).toBe(1);
    await alice.text('share', 'shared', 'team', 'token:bob');
    expect(await bob.text('call', '@team', 'pid')).toBe(pid);
    expect((await bob.run('show', 'shared')).code).toBe(1);
  });

  test('without a token, or with a wrong one, the sentence says what to do and shows no token', async () => {
    const without = await nobody.run('ls');
    expect([without.code, sentence(without)]).toEqual([
      1,
      'The proxy wants a token: set the variable MCP_SESSION_PROXY_TOKEN.',
    ]);
    const wrong = await nobody.run('ls', '--token', 'nobody-has-this-token');
    expect(wrong.code).toBe(1);
    expect(sentence(wrong)).not.toContain('nobody-has-this-token');
    expect(await nobody.text('ls', '--token', TOKENS.alice)).toMatch(/^work /m);
    expect(await nobody.text('ls', '--token', TOKENS.alice, '--url', proxy.url)).toMatch(/^work /m);
  });

  test('the same token means the same sessions when the proxy does not run', async () => {
    const { sessions } = await bob.json<SessionPage>('ls');
    await proxy.stop();
    const stored = await bob.json<SessionPage>('ls');
    expect(stored.sessions.map(({ id }) => id).sort()).toEqual(sessions.map(({ id }) => id).sort());
    expect((await nobody.run('ls', '--token', 'nobody-has-this-token')).code).toBe(1);
    const all = await nobody.json<SessionPage>('ls', '--all');
    expect(all.sessions.length).toBeGreaterThan(sessions.length);
  });
});
