// Packs the project, installs the tarball in an empty folder, and uses it as a stranger would: `npx mcp-session-proxy`.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'msp-package-'));
// What a daemon keeps for its user is gone with the test.
process.env.XDG_STATE_HOME = join(folder, 'state');
const npm = (args, cwd) =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

try {
  const [{ filename, files }] = JSON.parse(npm(['pack', '--json', '--pack-destination', folder], root));
  for (const wanted of [
    'dist/cli/main.js',
    'config/mcp-proxy.schema.json',
    'README.md',
    'LICENSE',
    'mcp-proxy.example.yaml',
  ]) {
    if (!files.some(({ path }) => path === wanted)) throw new Error(`${wanted} is missing from the package`);
  }
  if (files.some(({ path }) => path.startsWith('test/'))) throw new Error('tests are in the package');

  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  npm(['install', '--no-audit', '--no-fund', `./${filename}`], folder);
  const counter = join(root, 'test/fixtures/counter.mjs');
  writeFileSync(
    join(folder, 'mcp-proxy.yaml'),
    JSON.stringify({ store: './s.db', servers: { counter: { command: 'node', args: [counter] } } }),
  );
  const npx = (...args) =>
    execFileSync('npx', ['--no-install', 'mcp-session-proxy', ...args], { cwd: folder, encoding: 'utf8' });
  console.log(npx('--version').trim());
  console.log(npx('check', '--config', 'mcp-proxy.yaml').trim());

  // A client on stdin, as Claude Desktop would start it.
  const child = spawn('npx', ['--no-install', 'mcp-session-proxy', '--config', 'mcp-proxy.yaml'], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk;
    if (output.includes('"id":2')) child.stdin.end();
  });
  send({
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'p', version: '1' } },
  });
  send({ id: 2, method: 'tools/call', params: { name: 'increment' } });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  const answers = output
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  if (code !== 0 || answers[1]?.result?.content?.[0]?.text !== '1')
    throw new Error(`exit ${code}:\n${output}`);
  // The client has gone, and its session is still there, in the daemon that was started for it.
  const { sessions } = JSON.parse(npx('status', '--json', '--config', 'mcp-proxy.yaml'));
  if (sessions !== 1) throw new Error(`${sessions} sessions with running servers`);
  console.log(npx('stop', '--config', 'mcp-proxy.yaml').trim());
  console.log('4 passed, 0 failed');
} finally {
  rmSync(folder, { recursive: true, force: true });
}
