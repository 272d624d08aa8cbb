import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { remoteDoor } from '../../src/admin/client.js';
import type { Door, PingView } from '../../src/admin/door.js';
import { RawClient } from '../support/client.js';
import { isAlive, local, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { Run, Shell } from './cli.js';

/** Introduces itself at MCP_SESSION_URL, calls the tool `pid`, prints its answer and leaves with code 7. */
const CLIENT = `
const ask = async (method, params) => {
  const response = await fetch(process.env.MCP_SESSION_URL, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  return response.text();
};
const clientInfo = { name: 'c', version: '1' };
await ask('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo });
const [, pid] = /"text":"(\\d+)"/.exec(await ask('tools/call', { name: 'pid', arguments: {} }));
console.log(pid);
process.exitCode = 7;
`;

describe('with a proxy that runs', { timeout: 60_000 }, () => {
  const folder = new TemporaryFolder();
  let proxy: ProxyProcess;
  let shell: Shell;
  let door: Door;

  const run = (...args: string[]) =>
    shell.run('run', ...args, '--', process.execPath, '--input-type=module', '-e', CLIENT);

  beforeAll(async () => {
    proxy = await ProxyProcess.start(folder, { servers: { counter: local('counter') } });
    shell = new Shell(`${folder.path}/mcp-proxy.yaml`);
    door = remoteDoor(new URL(proxy.url).origin);
  });

  afterAll(async () => {
    await proxy.stop();
    folder[Symbol.dispose]();
  });

  test('M1 sessions run ends with the code of its command, its session closed and its processes gone', async () => {
    const { code, stdout, stderr } = await run('--session', 'task');
    expect([code, stderr]).toEqual([7, '']);
    expect(Number(stdout)).toBeGreaterThan(0);
    expect(isAlive(Number(stdout))).toBe(false);
    expect(await door.find('task')).toBeNull();
  });

  test('M1 sessions run leaves open what it found, and what it is told to keep', async () => {
    const { stdout } = await run('--session', 'kept', '--keep');
    expect(isAlive(Number(stdout))).toBe(true);
    const again = await run('--session', 'kept', '--json');
    expect(again.code).toBe(7);
    expect(again.stdout.split('\n')[0]).toBe(stdout.trim());
    expect(JSON.parse(again.stdout.slice(again.stdout.indexOf('{')))).toMatchObject({
      url: `${proxy.url}/s/kept`,
      exitCode: 7,
      closed: false,
    });
    expect(await door.close('kept')).toBe(true);
  });

  test('M1 sessions run closes its session also when it is ended, or its command cannot be started', async () => {
    const endless = shell.start(
      'run',
      '--session',
      'ended',
      '--',
      process.execPath,
      '-e',
      'console.log("up"); setInterval(() => {}, 1000)',
    );
    await until(() => endless.stdout.includes('up'));
    endless.process.kill('SIGTERM');
    expect((await endless.ended).code).toBe(128 + 15);
    expect(await door.find('ended')).toBeNull();
    const { code, stderr } = await shell.run('run', '--session', 'none', '--', 'no-such-command-here');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^mcp-session-proxy: The command cannot be started: .*ENOENT.*\n$/);
    expect(await door.find('none')).toBeNull();
  });

  test('M16 sessions url prints where clients reach a session, whether it has a name or not', async () => {
    await door.create({ name: 'named' });
    expect(await shell.text('url', 'named')).toBe(`${proxy.url}/s/named`);
    const nameless = await door.create();
    const store = await door.create({ name: 'common', scope: 'store' });
    for (const { id } of [nameless, store]) {
      const url = await shell.text('url', id);
      const client = await RawClient.open(url);
      expect(await client.text('increment')).toBe('1');
      expect(await door.callTool(id, 'get')).toMatchObject({ content: [{ text: '1' }] });
    }
    const byUrl = await new Run(['sessions', 'url', 'named', '--url', new URL(proxy.url).origin, '--json'])
      .ended;
    expect(JSON.parse(byUrl.stdout)).toBe(`${proxy.url}/s/named`);
  });

  test('G12 sessions ping starts what does not run, and finds a server that answers nobody', async () => {
    await door.create({ name: 'pinged' });
    expect(await shell.text('ping', 'pinged')).toMatch(/^counter is there \(\d+ ms\)\.$/);
    const pid = (await door.info('pinged')).bindings[0]?.pid ?? 0;
    expect(await shell.json<PingView[]>('ping', 'pinged', 'counter')).toMatchObject([
      { server: 'counter', ok: true },
    ]);
    expect((await door.info('pinged')).bindings[0]?.pid).toBe(pid);
    process.kill(pid, 'SIGSTOP');
    const { code, stdout } = await shell.run('ping', 'pinged');
    expect([code, stdout]).toEqual([
      1,
      'counter: It did not answer and was stopped: the next call starts it anew.\n',
    ]);
    expect(isAlive(pid)).toBe(false);
    expect(await shell.text('ping', 'pinged')).toMatch(/^counter is there/);
    expect((await shell.run('ping', 'pinged', 'nobody')).stderr).toMatch(/no server "nobody"/);
  });

  test('M12 sessions show tells how many tools a server last listed, without asking it', async () => {
    await door.create({ name: 'listed', bind: true });
    expect((await door.info('listed')).bindings[0]?.tools).toBeUndefined();
    const { length } = await door.listTools('listed');
    expect(length).toBeGreaterThan(0);
    const { bindings } = await shell.json<{ bindings: { tools: number }[] }>('show', 'listed');
    expect(bindings).toMatchObject([{ tools: length }]);
    const row = (await shell.text('show', 'listed')).split('\n').find((line) => line.startsWith('counter '));
    expect(row?.trim().split(/\s+/).at(-1)).toBe(String(length));
  });
});

test('M1 sessions run and sessions url want a proxy that runs', async () => {
  using folder = new TemporaryFolder();
  const config = folder.file(
    'mcp-proxy.yaml',
    JSON.stringify({ store: './store.db', servers: { counter: local('counter') } }),
  );
  const { code, stderr } = await new Shell(config).run('url', 'work');
  expect([code, stderr]).toEqual([1, expect.stringMatching(/No proxy runs on the store/)]);
});
