// Starts a client's shim again and again while the daemon runs, and prints how long its first answer takes.
// node test/bench/daemon.mjs [starts]
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const starts = Number(process.argv[2] ?? 30);
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const CLI = at('../../dist/cli/main.js');

const folder = mkdtempSync(join(tmpdir(), 'msp-bench-'));
process.env.XDG_STATE_HOME = folder;
const file = join(folder, 'config.json');
const servers = { counter: { command: process.execPath, args: [at('../fixtures/counter.mjs')] } };
writeFileSync(file, JSON.stringify({ store: join(folder, 'store.db'), servers }));

/** Milliseconds from the start of the process to the answer to `initialize`. */
async function start() {
  const begun = performance.now();
  const shim = spawn(process.execPath, [CLI, '--stdio', '-c', file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'b', version: '1' } };
  shim.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params })}\n`);
  await once(shim.stdout, 'data');
  const took = performance.now() - begun;
  shim.stdin.end();
  await once(shim, 'exit');
  return took;
}

/** Of a process that does nothing: what of it is Node's own. */
async function bare() {
  const begun = performance.now();
  const node = spawn(process.execPath, ['-e', 'console.log(1)'], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(node.stdout, 'data');
  const took = performance.now() - begun;
  await once(node, 'exit');
  return took;
}

const print = (what, times) => {
  const sorted = [...times].sort((a, b) => a - b);
  const quantile = (q) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]);
  console.log(`${what}, ms: p50 ${quantile(0.5)}, p95 ${quantile(0.95)}, max ${quantile(1)}`);
};

try {
  console.log(`with the start of the daemon, ms: ${Math.round(await start())}`);
  const [shims, nodes] = [[], []];
  for (let round = 0; round < starts; round++) {
    shims.push(await start());
    nodes.push(await bare());
  }
  print(`start of the shim to its first answer, ${starts} starts`, shims);
  print('start of a bare node to its first output', nodes);
} finally {
  execFileSync(process.execPath, [CLI, 'stop', '-c', file]);
  rmSync(folder, { recursive: true, force: true });
}
