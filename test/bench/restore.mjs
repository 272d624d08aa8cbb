// Kills proxy, Playwright MCP and Chromium at once, again and again, and prints how long the next call takes until login,
// local storage and three tabs are back, and how much processor time that costs. Linux, with Chromium.
// node test/bench/restore.mjs [runs] [companion]
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [runs = '10', way] = process.argv.slice(2);
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const chromium = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
/** Clock ticks of /proc a second. */
const TICKS = 100;

const folder = mkdtempSync(join(tmpdir(), 'msp-bench-'));
const site = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://site');
  const login = searchParams.get('login');
  const cookie = login ? { 'Set-Cookie': `user=${login}; Path=/` } : {};
  response.writeHead(200, { 'Content-Type': 'text/html', ...cookie });
  response.end(`<title>${pathname}</title><p>${request.headers.cookie ?? 'nobody'}</p>`);
}).listen(0, '127.0.0.1');
await new Promise((resolve) => site.once('listening', resolve));
const origin = `http://127.0.0.1:${site.address().port}`;

const quiet = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
const endpoint = '127.0.0.1:${companion.chromium.port}';
const companions = {
  chromium: {
    command: chromium,
    args: [
      '--headless',
      '--remote-debugging-port=${companion.chromium.port}',
      '--user-data-dir=${session.dir}/profile',
      ...quiet,
    ],
    ready: { line: 'DevTools listening on' },
  },
};
const own = join(folder, 'playwright.json');
const launchOptions = { executablePath: chromium, headless: true, chromiumSandbox: false, args: quiet };
writeFileSync(own, JSON.stringify({ browser: { browserName: 'chromium', launchOptions } }));
const cli = at('../../node_modules/@playwright/mcp/cli.js');
const browser = {
  command: process.execPath,
  ...(way === 'companion'
    ? { args: [cli, `--cdp-endpoint=http://${endpoint}`], companions }
    : { args: [cli, '--config', own, '--isolated'] }),
};
const config = join(folder, 'config.json');
writeFileSync(config, JSON.stringify({ store: join(folder, 'store.db'), servers: { browser } }));

/** The fields after the command's name, which may itself hold blanks and brackets. */
function stat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // gone meanwhile
  }
}

/** A process and all below it. */
function family(root) {
  const parents = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), Number(stat(name)[1])]),
  );
  const found = [root];
  for (const above of found) for (const [pid, parent] of parents) if (parent === above) found.push(pid);
  return found;
}

/** Seconds of processor time of a family, also of those in it that are gone. */
const spent = (root) =>
  family(root).reduce((sum, pid) => {
    const ticks = stat(pid).slice(11, 15).map(Number);
    return sum + ticks.reduce((all, one) => all + one, 0) / TICKS;
  }, 0);

async function start() {
  const args = [at('../../dist/cli/main.js'), 'serve', '-c', config, '--http', '0'];
  const proxy = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = await new Promise((resolve, reject) => {
    let text = '';
    proxy.stderr.on('data', (chunk) => {
      text += chunk;
      const [, found] = /listening on (\S+)/.exec(text) ?? [];
      if (found) resolve(found);
    });
    proxy.once('exit', () => reject(new Error(text)));
  });
  return { proxy, url };
}

async function killAll({ proxy }) {
  const pids = family(proxy.pid);
  for (const pid of pids) if (stat(pid).length > 0) process.kill(pid, 'SIGKILL');
  while (pids.some((pid) => stat(pid).length > 0 && stat(pid)[0] !== 'Z'))
    await new Promise((resolve) => setTimeout(resolve, 10));
}

let session;
async function post({ url }, method, params) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      ...(session ? { 'Mcp-Session-Id': session } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  session ??= response.headers.get('mcp-session-id');
  const text = await response.text();
  return JSON.parse(/^data: *(\{.*)$/m.exec(text)?.[1] ?? text);
}
async function call(proxy, name, args) {
  const { result, error } = await post(proxy, 'tools/call', { name, arguments: args });
  if (error || result.isError) throw new Error(JSON.stringify(error ?? result.content));
  return result.content.map(({ text }) => text).join('\n');
}

let proxy = await start();
await post(proxy, 'initialize', {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'bench', version: '1' },
});
await call(proxy, 'browser_navigate', { url: `${origin}/one?login=alice` });
await call(proxy, 'browser_evaluate', { function: '() => localStorage.setItem("cart", "7 pears")' });
await call(proxy, 'browser_tabs', { action: 'new', url: `${origin}/two` });
await call(proxy, 'browser_tabs', { action: 'new', url: `${origin}/three` });
await call(proxy, 'browser_tabs', { action: 'select', index: 1 });
const seen = '() => [location.pathname, document.body.innerText, localStorage.getItem("cart")].join(" ")';

const [times, costs] = [[], []];
try {
  for (let run = 0; run < Number(runs); run++) {
    await killAll(proxy);
    proxy = await start();
    const [begun, before] = [performance.now(), spent(proxy.proxy.pid)];
    const tabs = await call(proxy, 'browser_tabs', { action: 'list' });
    times.push(performance.now() - begun);
    costs.push(spent(proxy.proxy.pid) - before);
    const there = await call(proxy, 'browser_evaluate', { function: seen });
    const missing = ['/one', '/two', '/three'].filter((path) => !tabs.includes(path));
    if (missing.length > 0 || !/\/two user=alice 7 pears/.test(there))
      throw new Error(`not restored: ${missing} ${there}`);
  }
} finally {
  await killAll(proxy);
  site.close();
  rmSync(folder, { recursive: true, force: true });
}

const at50 = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
console.log(
  `${times.length} restores: p50 ${Math.round(at50(times))} ms, max ${Math.round(Math.max(...times))} ms; ` +
    `processor time p50 ${at50(costs).toFixed(1)} s; load ${loadavg()[0].toFixed(1)}`,
);
