import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  CHROMIUM,
  chromiumBelow,
  commandBelow,
  commandsBelow,
  descendants,
  playwright,
  PlaywrightHttp,
  Site,
} from '../support/browser.js';
import { RawClient, textOf } from '../support/client.js';
import { CLI, isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

/** What the page shows, and what its site has stored. */
const where = (client: RawClient) =>
  client.text('browser_evaluate', {
    function: '() => [location.pathname, document.body.innerText, JSON.stringify(localStorage)].join(" ")',
  });

const navigate = (client: RawClient, url: string) => client.call('browser_navigate', { url });

describe.skipIf(!CHROMIUM)('Playwright MCP gets its state back', { timeout: 120_000 }, () => {
  test('scenario 11: after SIGKILL of proxy, server and browser at once login, local storage, tabs and selection are back', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    const config = { servers: { browser: playwright(folder) } };
    await using first = await ProxyProcess.start(folder, config);
    const client = await RawClient.open(first.url);
    await navigate(client, `${site.origin}/start`);
    await client.call('browser_evaluate', { function: '() => localStorage.setItem("cart", "7 pears")' });
    await client.call('browser_tabs', { action: 'new', url: `${site.origin}/second` });
    await client.call('browser_tabs', { action: 'new', url: `${site.origin}/third` });
    await client.call('browser_click', { element: 'next', target: 'button' });
    await until(() => site.requests.includes('GET /third/next'));
    await client.call('browser_tabs', { action: 'select', index: 1 });
    await navigate(client, `${site.origin}/account?login=alice`);
    const family = [...descendants(first.pid), first.pid];
    for (const pid of family) process.kill(pid, 'SIGKILL');
    await until(() => !family.some(isAlive));

    await using second = await ProxyProcess.start(folder, config);
    const begun = performance.now();
    const answer = await new RawClient(second.url, client.session).call('browser_tabs', { action: 'list' });
    console.log(`scenario 11: restored in ${Math.round(performance.now() - begun)} ms`);
    expect(textOf(answer)).toMatch(
      /session restored at .*Take a new snapshot: old refs and page ids are invalid/s,
    );
    expect(answer.result?._meta).toMatchObject({
      'mcp-session-proxy/session': {
        lost: [{ server: 'browser', restored: { at: expect.any(String) as string } }],
      },
    });
    const tabs = textOf(answer)
      .split('\n')
      .filter((line) => /^- \d: /.test(line));
    expect(tabs[0]).toMatch(/^- 0: \[.*\/start\)$/);
    expect(tabs[1]).toMatch(/^- 1: \(current\) .*\/account\?login=alice\)$/);
    expect(tabs[2]).toMatch(/^- 2: \[.*\/third\/next\)$/);
    expect(site.requests.filter((one) => one.startsWith('POST'))).toHaveLength(1);
    const again = new RawClient(second.url, client.session);
    await navigate(again, `${site.origin}/home`);
    expect(await where(again)).toMatch(/\/home.*signed in as alice.*7 pears/s);
  });

  test('scenario 3: a client that opens a session for each call, and deletes it or not, comes back to its page by its address', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const once = async <T>(job: (client: RawClient) => Promise<T>, end = true) => {
      const client = await RawClient.open(`${proxy.url}/s/work`);
      const result = await job(client);
      if (end) await client.delete();
      return result;
    };
    await once((client) => navigate(client, `${site.origin}/kept?login=alice`));
    expect(await once(where, false)).toMatch(/\/kept.*signed in as alice/s);
    expect(await once(where)).toMatch(/^(?!.*mcp-session-proxy).*\/kept.*signed in as alice/s);
  });

  test('scenario 6: behind the HTTP mode of the server its heartbeat ends no session whose client has left', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using server = await PlaywrightHttp.start(folder);
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: { url: server.url } } });
    const client = await RawClient.open(proxy.url);
    const stream = await client.stream();
    await navigate(client, `${site.origin}/kept`);
    await client.call('browser_evaluate', { function: '() => void setInterval(() => fetch("/beat"), 1000)' });
    await stream.body?.cancel();
    // The server asks every 3 s and waits 5 s: a client that does not answer has lost its browser by then.
    await until(() => site.requests.filter((one) => one === 'GET /beat').length >= 12);
    expect(await where(new RawClient(proxy.url, client.session))).toContain('/kept');
  });

  test('scenario 7: behind the HTTP mode of the server a client with roots and no stream gets its first page at once', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using server = await PlaywrightHttp.start(folder);
    await using proxy = await ProxyProcess.start(folder, {
      servers: { browser: { url: server.url, roots: 'none' } },
    });
    const client = await RawClient.open(proxy.url, { roots: { listChanged: true } });
    const begun = performance.now();
    await navigate(client, `${site.origin}/rootless`);
    console.log(`scenario 7: first page after ${Math.round(performance.now() - begun)} ms`);
    expect(await where(client)).toContain('/rootless');
  }, 60_000);

  test('scenario 10: when the browser dies and its server lives, the next call finds all restored', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/account?login=alice`);
    const browser = chromiumBelow(proxy.pid);
    expect(browser.length).toBeGreaterThan(0);
    for (const pid of browser) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await until(() => !browser.some(isAlive));
    const answer = await navigate(client, `${site.origin}/home`);
    expect(textOf(answer)).toMatch(/lost its state.*session restored/s);
    expect(await where(client)).toMatch(/\/home.*signed in as alice/s);
  });

  test('scenario 10: when the browser dies under a call, the call says so and the next one finds all restored', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/account?login=alice`);
    const call = navigate(client, `${site.origin}/slow`);
    await until(() => site.slow.length > 0);
    for (const pid of chromiumBelow(proxy.pid)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    const answer = await call;
    expect(answer.result?.isError).toBe(true);
    expect(textOf(answer)).toMatch(/has been closed/);
    expect(site.slow).toHaveLength(1);
    expect(await where(client)).toMatch(/session restored.*\/account.*signed in as alice/s);
  });

  test('scenario 10: a browser that its server closes when it is idle is restored by the next call', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, {
      servers: { browser: playwright(folder, ['--isolated', '--idle-timeout=3000']) },
    });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/account?login=alice`);
    await until(() => chromiumBelow(proxy.pid).length === 0);
    expect(await where(client)).toMatch(/lost its state.*session restored.*\/account.*signed in as alice/s);
  });

  test('scenario 14: after two forms were sent the right page is restored and nothing is sent again', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/wizard?login=alice`);
    for (const page of ['/wizard/next', '/wizard/next/next']) {
      await client.call('browser_click', { element: 'next', target: 'button' });
      expect(await where(client)).toContain(page);
    }
    const family = [...commandsBelow(proxy.pid, 'playwright/mcp'), ...chromiumBelow(proxy.pid)];
    for (const pid of family) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    await until(() => !family.some(isAlive));
    expect(await where(client)).toMatch(/session restored.*\/wizard\/next\/next.*signed in as alice/s);
    expect(site.requests.filter((one) => one.startsWith('POST'))).toHaveLength(2);
  });

  test('scenario 15: with the answer to an old element reference the client is told that it is invalid', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/page`);
    await client.call('browser_snapshot');
    const server = commandBelow(proxy.pid, 'playwright/mcp');
    process.kill(server, 'SIGKILL');
    await until(() => !isAlive(server));
    const answer = await client.call('browser_click', { element: 'next', target: 'e99' });
    expect(textOf(answer)).toMatch(
      /session restored.*Take a new snapshot: old refs and page ids are invalid/s,
    );
    expect(textOf(answer)).toMatch(/Ref e99 not found/);
  });

  test('scenario 12: after an ordered restart of the proxy the login is back', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    const config = { servers: { browser: playwright(folder) } };
    await using first = await ProxyProcess.start(folder, config);
    const client = await RawClient.open(first.url);
    await navigate(client, `${site.origin}/account?login=alice`);
    await first.stop();
    await using second = await ProxyProcess.start(folder, config);
    expect(await where(new RawClient(second.url, client.session))).toMatch(
      /session restored.*\/account.*signed in as alice/s,
    );
  });

  test('the client closes its browser itself: that is no loss, and nothing of it comes back', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/account?login=alice`);
    await client.call('browser_close');
    const answer = await navigate(client, `${site.origin}/home`);
    expect(textOf(answer)).not.toContain('mcp-session-proxy');
    expect(await where(client)).toMatch(/\/home.*signed in as nobody/s);
  });

  test('an empty page that the client opened itself is no loss either', async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    await navigate(client, 'about:blank');
    const answer = await client.call('browser_tabs', { action: 'list' });
    expect(textOf(answer)).not.toContain('mcp-session-proxy');
  });

  test('the saved state is readable by this user alone, is gone with the session, and its tools are not shown', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(folder, { servers: { browser: playwright(folder) } });
    const client = await RawClient.open(proxy.url);
    const tools = (await client.request('tools/list')).result?.tools as { name: string }[];
    expect(tools.map(({ name }) => name)).not.toContain('browser_storage_state');
    await navigate(client, `${site.origin}/account?login=alice`);
    const saved = () =>
      readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).filter((name) =>
        name.includes('checkpoint-'),
      );
    expect(saved()).toHaveLength(1);
    expect(statSync(join(folder.path, saved()[0] ?? '')).mode & 0o777).toBe(0o600);
    await client.delete();
    await until(() => saved().length === 0);
  });

  test('a cookie that was saved shows nowhere but in that file: not in events, summary, export, session, log or store', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await ProxyProcess.start(
      folder,
      { servers: { browser: playwright(folder) } },
      { args: ['--log-level', 'debug'] },
    );
    const client = await RawClient.open(`${proxy.url}/s/work`);
    await navigate(client, `${site.origin}/home`);
    // By the page itself, and not shown by it: what a client sends or reads is its own to keep.
    const set = '() => { document.cookie = `token=${["s3", "cr3t"].join("")}` }';
    await client.call('browser_evaluate', { function: set });
    const server = commandBelow(proxy.pid, 'playwright/mcp');
    process.kill(server, 'SIGKILL');
    await until(() => !isAlive(server));
    await navigate(client, `${site.origin}/home`);
    expect(await client.text('browser_evaluate', { function: '() => document.cookie.length' })).toContain(
      '12',
    );
    const files = readdirSync(folder.path, { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder.path, name))
      .filter((path) => statSync(path).isFile());
    const holders = () => files.filter((path) => readFileSync(path).includes('s3cr3t'));
    expect(holders().length).toBeGreaterThan(0);
    expect(holders().every((path) => /checkpoint-[01]\.json$/.test(path))).toBe(true);
    const api = (path: string) =>
      fetch(`${new URL(proxy.url).origin}/api/v1/sessions/work${path}`).then((response) => response.text());
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...[CLI, 'sessions', 'export', 'work', '--url', proxy.url],
    ]);
    const shown = [await api(''), await api('/events'), await api('/summary'), stdout, proxy.stderr];
    expect(shown[1]).toContain('browser_navigate');
    expect(stdout).toContain('browser_navigate');
    expect(shown.filter((text) => text.includes('s3cr3t'))).toEqual([]);
  });
});
