import { describe, expect, test } from 'vitest';
import { CHROMIUM, descendants, playwright, Site } from '../support/browser.js';
import { RawClient, textOf } from '../support/client.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';

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
    expect(tabs[2]).toMatch(/^- 2: \[.*\/third\)$/);
    const again = new RawClient(second.url, client.session);
    await navigate(again, `${site.origin}/home`);
    expect(await where(again)).toMatch(/\/home.*signed in as alice.*7 pears/s);
  });
});
