import { describe, expect, test } from 'vitest';
import { CHROMIUM, chromiumBelow, commandsBelow, Site } from '../support/browser.js';
import { RawClient, textOf } from '../support/client.js';
import { isAlive, ProxyProcess, TemporaryFolder, until } from '../support/proxy.js';
import { CHROME_DEVTOOLS, SEQUENTIAL_THINKING } from '../support/real-server.js';

test.skipIf(!SEQUENTIAL_THINKING)(
  'thoughts of the sequential thinking server come back by replay',
  { timeout: 60_000 },
  async () => {
    using folder = new TemporaryFolder();
    await using proxy = await ProxyProcess.start(folder, {
      servers: {
        thinking: {
          command: process.execPath,
          args: [SEQUENTIAL_THINKING],
          replay: { allow: ['sequentialthinking'] },
        },
      },
    });
    const client = await RawClient.open(proxy.url);
    const think = (number: number) =>
      client.text('sequentialthinking', {
        thought: `thought ${number}`,
        thoughtNumber: number,
        totalThoughts: 5,
        nextThoughtNeeded: true,
      });
    for (const number of [1, 2, 3]) await think(number);
    const servers = commandsBelow(proxy.pid, 'sequential-thinking');
    for (const pid of servers) process.kill(pid, 'SIGKILL');
    await until(() => !servers.some(isAlive));
    expect(await think(4)).toMatch(/by 3 recorded calls.*"thoughtHistoryLength": 4/s);
  },
);

describe.skipIf(!CHROMIUM || !CHROME_DEVTOOLS)(
  'chrome-devtools-mcp with a real Chromium',
  { timeout: 120_000 },
  () => {
    const config = {
      servers: {
        devtools: {
          command: process.execPath,
          args: [
            CHROME_DEVTOOLS,
            '--headless',
            '--executablePath',
            CHROMIUM,
            '--chromeArg=--no-sandbox',
            '--no-usage-statistics',
            '--no-performance-crux',
          ],
          env: { CI: '1' },
        },
      },
    };

    test('scenario 12: an ordered restart of the proxy keeps tabs, login and local storage, and the result says how', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using first = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(first.url);
      await client.call('new_page', { url: `${site.origin}/kept?login=alice` });
      const pages = await client.text('list_pages');
      const pageId = Number(/^(\d+): .*\[selected\]/m.exec(pages)?.[1]);
      await client.call('evaluate_script', {
        pageId,
        function: '() => localStorage.setItem("cart", "7 pears")',
      });
      await first.stop();
      await using second = await ProxyProcess.start(folder, config);
      const again = new RawClient(second.url, client.session);
      const answer = textOf(await again.call('list_pages'));
      expect(answer).toMatch(/session restored at .*page ids.*are invalid/s);
      expect(answer).toContain('/kept');
      await again.call('new_page', { url: `${site.origin}/home` });
      const [, now] = /^(\d+): .*\[selected\]/m.exec(await again.text('list_pages')) ?? [];
      const look = '() => document.body.innerText + localStorage.getItem("cart")';
      expect(await again.text('evaluate_script', { pageId: Number(now), function: look })).toMatch(
        /signed in as alice.*7 pears/s,
      );
    });

    test('scenario 10: when the browser dies and its server lives, the next call is told that page ids are invalid', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const client = await RawClient.open(proxy.url);
      await client.call('new_page', { url: `${site.origin}/kept` });
      const browser = chromiumBelow(proxy.pid);
      expect(browser.length).toBeGreaterThan(0);
      for (const pid of browser) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
      await until(() => !browser.some(isAlive));
      expect(await client.text('list_pages')).toMatch(
        /lost its state .*session restored at .*page ids.*invalid/s,
      );
    });

    test('scenario 4: two sessions have a profile each, without a quarrel over its lock', async () => {
      using folder = new TemporaryFolder();
      await using site = await Site.start();
      await using proxy = await ProxyProcess.start(folder, config);
      const [one, two] = [await RawClient.open(proxy.url), await RawClient.open(proxy.url)];
      await Promise.all([
        one.call('new_page', { url: `${site.origin}/one` }),
        two.call('new_page', { url: `${site.origin}/two` }),
      ]);
      const pages = await Promise.all([one.text('list_pages'), two.text('list_pages')]);
      expect(pages[0]).toMatch(/\/one/);
      expect(pages[1]).toMatch(/\/two/);
      expect(pages.join()).not.toContain('already running');
    });
  },
);
