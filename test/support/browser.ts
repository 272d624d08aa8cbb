import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import type { TemporaryFolder } from './proxy.js';
import { CHROME_DEVTOOLS } from './real-server.js';

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

/** Chromium's own sandbox does not run as root; the rest keeps it from calling home. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Config entry of a server on a Chromium that stands beside it, as docs/restore.md has it. */
export function besideChromium(server: 'playwright' | 'chrome-devtools') {
  const endpoint = 'http://127.0.0.1:${companion.chromium.port}';
  const args =
    server === 'playwright'
      ? [PLAYWRIGHT_MCP, `--cdp-endpoint=${endpoint}`]
      : [CHROME_DEVTOOLS, `--browserUrl=${endpoint}`, '--no-usage-statistics', '--no-performance-crux'];
  return {
    command: process.execPath,
    args,
    env: { CI: '1', CHROME_DEVTOOLS_MCP_NO_UPDATE_CHECKS: '1' },
    companions: {
      chromium: {
        command: CHROMIUM,
        args: [
          '--headless',
          '--remote-debugging-port=${companion.chromium.port}',
          '--user-data-dir=${session.dir}/profile',
          ...(server === 'playwright' ? [] : ['--restore-last-session', '--hide-crash-restore-bubble']),
          ...ARGUMENTS,
        ],
        ready: { line: 'DevTools listening on' },
        stop: [{ signal: 'SIGINT', target: 'process', wait: '5s' }],
        note: 'The browser with its tabs, forms and scripts is as it was. Take a new snapshot: old refs and page ids are invalid.',
      },
    },
  };
}

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
          args: ARGUMENTS,
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

/** A site with a login kept in a session cookie, numbered pages with a form to the next, and a slow one. */
export class Site {
  readonly origin: string;
  readonly #server: Server;
  /** Requests that wait until `release`, by path. */
  readonly slow: (() => void)[] = [];
  /** Paths of all requests. */
  readonly requests: string[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<Site> {
    const slow: (() => void)[] = [];
    const requests: string[] = [];
    const server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', 'http://site');
      const user = /user=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? 'nobody';
      requests.push(`${request.method} ${url.pathname}`);
      const page = () => {
        const headers: Record<string, string> = { 'Content-Type': 'text/html' };
        const login = url.searchParams.get('login');
        if (login) headers['Set-Cookie'] = `user=${login}; Path=/`;
        response.writeHead(200, headers);
        response.end(
          `<title>${url.pathname}</title><h1>${url.pathname}</h1><p>signed in as ${login ?? user}</p>` +
            `<form method=post action="${url.pathname}/next"><button>next</button></form>`,
        );
      };
      if (request.method === 'POST') response.writeHead(303, { Location: url.pathname }).end();
      else if (url.pathname === '/slow') slow.push(page);
      else page();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const site = new Site(server);
    Object.assign(site, { slow, requests });
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

/** The processes below one whose command line has this text. */
export function commandsBelow(pid: number, text: string): number[] {
  return descendants(pid).filter((one) => {
    try {
      return readFileSync(`/proc/${one}/cmdline`, 'utf8').includes(text);
    } catch {
      return false; // gone meanwhile
    }
  });
}

/** The first of them, which must be there: 0 would name whoever asks. */
export function commandBelow(pid: number, text: string): number {
  const [first] = commandsBelow(pid, text);
  if (first === undefined) throw new Error(`no process of ${text} runs`);
  return first;
}

/** The processes of Chromium below one. */
export const chromiumBelow = (pid: number) => commandsBelow(pid, '--user-data-dir=');

/** Playwright MCP as an HTTP server of its own. */
export class PlaywrightHttp {
  readonly url: string;
  readonly #process: ChildProcess;

  private constructor(url: string, process: ChildProcess) {
    this.url = url;
    this.#process = process;
  }

  static async start(folder: TemporaryFolder): Promise<PlaywrightHttp> {
    const { command, args } = playwright(folder);
    const child = spawn(command, [...args, '--port', '0'], {
      cwd: folder.path,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const url = await new Promise<string>((resolve, reject) => {
      let text = '';
      child.stderr.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const [, found] = /"url": "(http:\S+?\/mcp)"/.exec(text) ?? [];
        if (found !== undefined) resolve(found);
      });
      child.once('exit', (code) => reject(new Error(`Playwright MCP exited with ${code}: ${text}`)));
    });
    return new PlaywrightHttp(url, child);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    await gone;
  }
}
