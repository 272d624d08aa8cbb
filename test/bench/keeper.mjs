// Kills the worker again and again, and prints how long a client waits for its first answer afterwards.
// node test/bench/keeper.mjs [kills]
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const kills = Number(process.argv[2] ?? 100);
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** More than five deaths within ten seconds would be a crash loop. */
const BETWEEN = 3000;

const folder = mkdtempSync(join(tmpdir(), 'msp-bench-'));
const file = join(folder, 'config.json');
const servers = { counter: { command: process.execPath, args: [at('../fixtures/counter.mjs')] } };
writeFileSync(file, JSON.stringify({ store: join(folder, 'store.db'), servers }));
const keeper = spawn(process.execPath, [at('../../dist/cli/main.js'), 'serve', '-c', file, '--http', '0'], {
  stdio: ['ignore', 'ignore', 'pipe'],
  env: { ...process.env, XDG_STATE_HOME: folder },
});
const url = await new Promise((resolve) => {
  let text = '';
  keeper.stderr.on('data', (chunk) => {
    text += chunk;
    const [, found] = /listening on (\S+)/.exec(text) ?? [];
    if (found) resolve(found);
  });
});

let session;
async function post(method, params) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      Connection: 'close',
      ...(session ? { 'Mcp-Session-Id': session } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  session ??= response.headers.get('mcp-session-id');
  const [, data] = /^data: *(\{.*)$/m.exec(await response.text()) ?? [];
  return data && JSON.parse(data);
}
const call = async (name) =>
  Number((await post('tools/call', { name, arguments: {} })).result.content[0].text);

/** RSS in KiB of a process. */
const memory = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
const worker = () =>
  Number(
    execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(keeper.pid)], { encoding: 'utf8' })
      .split('\n')
      .find((line) => line.includes(' worker '))
      .trim()
      .split(' ')[0],
  );

await post('initialize', {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'bench', version: '1' },
});
const server = await call('pid');
let [gaps, refused, count] = [[], 0, 0];
for (let kill = 0; kill < kills; kill++) {
  await new Promise((resolve) => setTimeout(resolve, BETWEEN));
  process.kill(worker(), 'SIGKILL');
  const begun = performance.now();
  for (;;) {
    try {
      count = await call('increment');
      break;
    } catch (error) {
      if (error.cause?.code === 'ECONNREFUSED') refused += 1; // a reset is what the kill itself cut
    }
  }
  gaps.push(performance.now() - begun);
}
gaps.sort((a, b) => a - b);
const quantile = (q) => Math.round(gaps[Math.min(gaps.length - 1, Math.floor(gaps.length * q))]);
console.log(`kills ${kills}, connections refused ${refused}, answers counted ${count}`);
console.log(`gap to the first answer, ms: p50 ${quantile(0.5)}, p90 ${quantile(0.9)}, p99 ${quantile(0.99)}`);
console.log(`same server process: ${server === (await call('pid'))}`);
console.log(`RSS, KiB: keeper ${memory(keeper.pid)}, worker ${memory(worker())}`);
keeper.kill('SIGTERM');
await new Promise((resolve) => keeper.once('exit', resolve));
rmSync(folder, { recursive: true, force: true });
