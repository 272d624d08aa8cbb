import { describe, expect, test } from 'vitest';
import {
  besideChromium,
  CHROMIUM,
  chromiumBelow,
  commandBelow,
  descendants,
  Site,
} from '../support/browser.js';
import { RawClient } from '../support/client.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { CHROME_DEVTOOLS } from '../support/real-server.js';
import { killWorker } from '../support/worker.js';

/** What each server calls what the scenarios do. */
const BROWSERS = {
  playwright: {
    server: 'playwright' as const,
    process: 'playwright/mcp',
    navigate: (client: RawClient, url: string) => client.call('browser_navigate', { url }),
    newTab: (client: RawClient, url: string) => client.call('browser_tabs', { action: 'new', url }),
    run: (client: RawClient, code: string) => client.text('browser_evaluate', { function: `() => ${code}` }),
    tabs: (client: RawClient) => client.text('browser_tabs', { action: 'list' }),
    select: (client: RawClient, index: number) => client.call('browser_tabs', { action: 'select', index }),
  },
  'chrome-devtools': {
    server: 'chrome-devtools' as const,
    process: 'chrome-devtools-mcp',
    // A browser without a window has no page until somebody opens one.
    navigate: async (client: RawClient, url: string) => {
      const pageId = await pageOf(client);
      return pageId === undefined
        ? client.call('new_page', { url })
        : client.call('navigate_page', { pageId, type: 'url', url });
    },
    newTab: (client: RawClient, url: string) => client.call('new_page', { url }),
    run: async (client: RawClient, code: string) =>
      client.text('evaluate_script', { pageId: await pageOf(client), function: `() => ${code}` }),
    tabs: (client: RawClient) => client.text('list_pages'),
    select: (client: RawClient, pageId: number) => client.call('select_page', { pageId }),
  },
};

/** The page that is selected, by the number it has now. */
async function pageOf(client: RawClient): Promise<number | undefined> {
  const found = /^(\d+): .*\[selected\]/m.exec(await client.text('list_pages'));
  return found ? Number(found[1]) : undefined;
}

const installed = Object.values(BROWSERS).filter(({ server }) => server === 'playwright' || CHROME_DEVTOOLS);

describe.skipIf(!CHROMIUM).each(installed)(
  '$server beside a Chromium of the session',
  { timeout: 120_000 },
  ({ server, process: name, navigate, newTab, run, tabs, select }) => {
    const config = { servers: { browser: besideChromium(server) } };

    test('after kill -9 of the server the next call has the tabs, the text of a form not sent, and what scripts hold', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(proxy.url);
      await navigate(client, `${site.origin}/first?login=alice`);
      await newTab(client, `${site.origin}/form`);
      await run(
        client,
        '{ document.body.innerHTML = "<input id=text>"; document.getElementById("text").value = "not sent"; window.held = 42 }',
      );
      const browser = chromiumBelow(proxy.pid);
      process.kill(commandBelow(proxy.pid, name), 'SIGKILL');
      await until(() => proxy.stderr.includes('The server was ended by SIGKILL'));
      const told = await tabs(client);
      expect(told).toMatch(/was ended by SIGKILL .* Beside it "chromium" went on.*new snapshot/s);
      for (const page of ['/first', '/form']) expect(told).toContain(page);
      // Which tab is selected was the server's own knowledge.
      await select(client, Number(/(\d+): .*\/form/.exec(told)?.[1]));
      expect(await run(client, 'document.getElementById("text").value + " " + window.held')).toContain(
        'not sent 42',
      );
      expect(browser.filter((one) => chromiumBelow(proxy.pid).includes(one)).length).toBeGreaterThan(3);
    });

    test('after SIGKILL of the browser the next call finds login and pages restored as far as they were saved', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(proxy.url);
      await navigate(client, `${site.origin}/account?login=alice`);
      const browser = chromiumBelow(proxy.pid);
      for (const pid of browser) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      await until(() => proxy.stderr.includes('its companion'));
      const told = await tabs(client);
      expect(told).toMatch(/was stopped because its companion "chromium" was ended by SIGKILL.*anew/s);
      if (server === 'playwright') expect(told).toMatch(/session restored at.*\/account/s);
      await navigate(client, `${site.origin}/home`);
      if (server === 'playwright')
        expect(await run(client, 'document.body.innerText')).toContain('signed in as alice');
    });

    test('after an ordered restart of the proxy login and tabs are back, once each', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using first = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(first.url);
      await navigate(client, `${site.origin}/account?login=alice`);
      await newTab(client, `${site.origin}/second`);
      const family = descendants(first.pid);
      await first.stop();
      await until(() => !family.some(isAlive));
      await using second = await ProxyProcess.start(folder, config);
      const again = new RawClient(second.url, client.session);
      const told = await tabs(again);
      expect(told.match(/\(http\S+\/account/g)).toHaveLength(1);
      expect(told.match(/\(http\S+\/second/g)).toHaveLength(1);
      await navigate(again, `${site.origin}/home`);
      expect(await run(again, 'document.body.innerText')).toContain('signed in as alice');
    });

    test('a server that is started with other arguments finds the browser as it was', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(`${proxy.url}/s/work`);
      await navigate(client, `${site.origin}/kept`);
      await run(client, '{ window.held = 42 }');
      const changed = await fetch(
        `${new URL(proxy.url).origin}/api/v1/sessions/work/bindings/browser/reinitialize`,
        {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify({ env: { COLOUR: 'blue' } }),
        },
      );
      expect(changed.status).toBe(200);
      expect(await tabs(client)).toMatch(/"chromium" went on.*\/kept/s);
      expect(await run(client, 'window.held')).toContain('42');
    });

    test('the browser goes on under the next worker', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(proxy.url);
      await navigate(client, `${site.origin}/kept`);
      await run(client, '{ window.held = 42 }');
      await killWorker(proxy);
      expect(await run(client, 'window.held')).toContain('42');
    });
  },
);
