import { describe, expect, test } from 'vitest';
import { CHROMIUM, commandBelow, descendants, playwright, Site } from '../support/browser.js';
import { RawClient, textOf } from '../support/client.js';
import { ModernClient } from '../support/modern.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

/** The page a session is on, as the browser itself says. */
const where = (client: RawClient) =>
  client.text('browser_evaluate', { function: '() => location.pathname + " " + document.body.innerText' });

const navigate = (client: RawClient, url: string) => client.call('browser_navigate', { url });

/** Pid of the server's own process below the proxy. */
const serverOf = (proxy: ProxyProcess) => commandBelow(proxy.pid, 'playwright/mcp');

async function start(folder: TemporaryFolder, args?: string[]) {
  return ProxyProcess.start(folder, { servers: { browser: playwright(folder, args) } });
}

describe.skipIf(!CHROMIUM)('Playwright MCP with a real Chromium', { timeout: 120_000 }, () => {
  test('scenario 1: the second call of a client finds the page of the first', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/wizard/1`);
    expect(await where(client)).toContain('/wizard/1');
  });

  test('scenario 2: two sessions at once have a login and a page each', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const [alice, bob] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    await navigate(alice, `${site.origin}/?login=alice`);
    await Promise.all([navigate(alice, `${site.origin}/wizard/2`), navigate(bob, `${site.origin}/wizard/3`)]);
    expect(await where(alice)).toMatch(/\/wizard\/2.*signed in as alice/s);
    expect(await where(bob)).toMatch(/\/wizard\/3.*signed in as nobody/s);
  });

  test('scenario 4: one config gives two sessions a profile each, without a quarrel over its lock', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder, ['--user-data-dir=${session.dir}/profile']);
    const [one, two] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
    await Promise.all([
      navigate(one, `${site.origin}/?login=one`),
      navigate(two, `${site.origin}/?login=two`),
    ]);
    await Promise.all([navigate(one, `${site.origin}/a`), navigate(two, `${site.origin}/b`)]);
    expect(await where(one)).toMatch(/\/a.*signed in as one/s);
    expect(await where(two)).toMatch(/\/b.*signed in as two/s);
  });

  test('scenario 5: calls sent in parallel in one session are carried out one after the other', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    const evaluate = () => client.call('browser_evaluate', { function: '() => document.title' });
    const answers = await Promise.all([
      navigate(client, `${site.origin}/1`),
      evaluate(),
      navigate(client, `${site.origin}/2`),
      evaluate(),
    ]);
    expect(answers.map(({ result }) => result?.isError ?? false)).toEqual([false, false, false, false]);
    expect(textOf(answers[1])).toContain('/1');
    expect(textOf(answers[3])).toContain('/2');
  });

  test('scenario 6: a client that drops its stream without DELETE comes back to its page', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    const stream = await client.stream();
    await navigate(client, `${site.origin}/kept`);
    await stream.body?.cancel();
    expect(await where(new RawClient(proxy.url, client.session))).toContain('/kept');
  });

  test('scenario 7: a client that declares roots and never lists them gets its first page all the same', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url, { roots: { listChanged: true } });
    await navigate(client, `${site.origin}/rootless`);
    expect(await where(client)).toContain('/rootless');
  });

  test('scenario 8: after kill -9 of the idle server the next call works and says what was lost', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/before?login=alice`);
    const server = serverOf(proxy);
    process.kill(server, 'SIGKILL');
    await until(() => !isAlive(server));
    const answer = await navigate(client, `${site.origin}/after`);
    expect(textOf(answer)).toMatch(
      /Server "browser" was ended by SIGKILL and was started anew for this call: session restored at /,
    );
    expect(answer.result?._meta).toMatchObject({
      'mcp-session-proxy/session': { lost: [{ server: 'browser', reason: 'was ended by SIGKILL' }] },
    });
    expect(await where(client)).toMatch(/\/after.*signed in as alice/s);
  });

  test('scenario 9: kill -9 of the server during a call is told as an unknown outcome, and nothing is sent again', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/first`);
    const call = navigate(client, `${site.origin}/slow`);
    await until(() => site.slow.length > 0);
    process.kill(serverOf(proxy), 'SIGKILL');
    const answer = await call;
    expect(answer.result?.isError).toBe(true);
    expect(textOf(answer)).toMatch(
      /was ended by SIGKILL while the request was with it: the outcome is unknown/,
    );
    expect(await where(client)).toMatch(/started anew.*session restored at .*\/first/s);
    expect(site.slow).toHaveLength(1);
  });

  test('scenario 12: the session id works on after a restart of the proxy', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using first = await start(folder);
    const client = await RawClient.open(first.url);
    await navigate(client, `${site.origin}/one`);
    expect(await first.stop()).toMatchObject({ code: 0 });
    await using second = await start(folder);
    const again = new RawClient(second.url, client.session);
    expect(textOf(await navigate(again, `${site.origin}/two`))).toMatch(/started anew/);
    expect(await where(again)).toContain('/two');
  });

  test('scenario 13: after kill -9 of the proxy no process of server or browser is left, and the next proxy restores what was saved', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const client = await RawClient.open(proxy.url);
    await navigate(client, `${site.origin}/kept?login=alice`);
    const family = descendants(proxy.pid);
    expect(family.length).toBeGreaterThan(4);
    await proxy.kill();
    await until(() => !family.some(isAlive));
    await using second = await start(folder);
    expect(await where(new RawClient(second.url, client.session))).toMatch(
      /session restored at .*\/kept.*signed in as alice/s,
    );
  });

  test('scenario 16: clients of 2026-07-28 have a browser for each key, which lasts from call to call', async () => {
    using folder = new TemporaryFolder();
    await using site = await Site.start();
    await using proxy = await start(folder);
    const [alice, bob] = ['a', 'b'].map((name) => new ModernClient(`${proxy.url}/s/${name}`));
    const look = { function: '() => location.pathname + " " + document.body.innerText' };
    await alice?.call('browser_navigate', { url: `${site.origin}/one?login=alice` });
    await bob?.call('browser_navigate', { url: `${site.origin}/two` });
    await alice?.call('browser_navigate', { url: `${site.origin}/three` });
    const [hers, his] = [
      await alice?.call('browser_evaluate', look),
      await bob?.call('browser_evaluate', look),
    ];
    expect(textOf(hers ?? {})).toMatch(/\/three.*signed in as alice/s);
    expect(textOf(his ?? {})).toMatch(/\/two.*signed in as nobody/s);
  });
});
