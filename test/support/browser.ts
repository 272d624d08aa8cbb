import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { TemporaryFolder } from './proxy.js';

/** Chromium as Debian installs it, or wherever CHROMIUM_PATH says. */
export const CHROMIUM = [process.env.CHROMIUM_PATH, '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== undefined && existsSync(path),
);

if (!CHROMIUM)
  console.warn('No Chromium found: the browser scenarios are skipped. Install it or set CHROMIUM_PATH.');

const PLAYWRIGHT_MCP = join(
  dirname(createRequire(import.meta.url).resolve('@playwright/mcp/package.json')),
  'cli.js',
);

/** Config entry of Playwright MCP on the Chromium of this machine. */
export function playwright(
  folder: TemporaryFolder,
  args: string[] = ['--isolated'],
  more: Record<string, unknown> = {},
) {
  const config = folder.file(
    'playwright.json',
    JSON.stringify({
      browser: {
        browserName: 'chromium',
        launchOptions: {
          executablePath: CHROMIUM,
          headless: true,
          chromiumSandbox: false,
          // Chromium's own sandbox does not run as root; the rest keeps it from calling home.
          args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
          ],
        },
      },
    }),
  );
  return {
    command: process.execPath,
    args: [PLAYWRIGHT_MCP, '--config', config, ...args],
    cwd: '${session.dir}',
    concurrency: 1,
    ...more,
  };
}

/** A site with a login kept in a session cookie, numbered pages and a slow one. */
export class Site {
  readonly origin: string;
  readonly #server: Server;
  /** Requests that wait until `release`, by path. */
  readonly slow: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Site> {
    const slow: (() => void)[] = [];
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://site');
      const user = /user=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? 'nobody';
      const page = () => {
        const headers: Record<string, string> = { 'Content-Type': 'text/html' };
        const login = url.searchParams.get('login');
        if (login) headers['Set-Cookie'] = `user=${login}; Path=/`;
        response.writeHead(200, headers);
        response.end(
          `<title>${url.pathname}</title><h1>${url.pathname}</h1><p>signed in as ${login ?? user}</p>`,
        );
      };
      if (url.pathname === '/slow') slow.push(page);
      else page();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const site = new Site(server);
    Object.assign(site, { slow });
    return site;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** All processes below one, as the system shows them now. Linux only, as the scenarios are. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // gone meanwhile
    }
  }
  const found: number[] = [];
  for (let above = [pid]; above.length > 0;) {
    above = [...parents].filter(([, parent]) => above.includes(parent)).map(([child]) => child);
    found.push(...above);
  }
  return found;
}
