// Who runs, and how each has to be started. All get the same echo server.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stop } from './processes.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

export const ECHO_SERVER = path('echo-server.mjs');
const OWN_CLI = path('../../dist/cli/main.js');
const START_MS = 20_000;

/** The peers' own entry points: npx and a shell shim would be measured with the cold start. */
function peer(name) {
  const folder = path(`../../node_modules/${name}/`);
  return join(folder, JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).bin[name]);
}

/** This proxy, with what its command line adds. */
function own(...flags) {
  return {
    isolates: true,
    listening: /listening on http:/,
    args: (port, dir) => {
      if (!existsSync(OWN_CLI)) throw new Error('dist/cli/main.js is missing: run `npm run build`');
      const config = join(dir, 'config.json');
      const servers = { echo: { command: process.execPath, args: [ECHO_SERVER] } };
      writeFileSync(config, JSON.stringify({ store: join(dir, 's.db'), servers }));
      return [OWN_CLI, 'serve', '--http', `127.0.0.1:${port}`, '--config', config, ...flags];
    },
  };
}

/**
 * `isolates`: a session has a process of its own, so its call counter must grow by one with every call.
 * `listening`: what it prints on stderr when it listens; the others are taken to listen when they accept a connection.
 */
export const contestants = {
  // The load generator speaks stdio to the echo servers itself: what the machine gives without anything in between.
  direct: { isolates: true },

  floor: { isolates: true, args: (port) => [path('floor.mjs'), port, ECHO_SERVER] },

  'mcp-session-proxy': own(),
  // The same in one process: what the keeper costs.
  'mcp-session-proxy --no-keeper': own('--no-keeper'),

  // Stateful (Mcp-Session-Id) is its default, but it starts ONE child, before it listens, and shares it among all
  // sessions: less isolation and less work than the others, and a cold start that includes the child's. Answers by SSE.
  'mcp-proxy': {
    isolates: false,
    args: (port) => [
      peer('mcp-proxy'),
      ...['--host', '127.0.0.1', '--port', port, '--server', 'stream'],
      ...['--', process.execPath, ECHO_SERVER],
    ],
  },

  // One child (through a shell, in its own process group) for each session. It logs every message at its default level,
  // so `none` is the kinder setting; it leaves when its stdin closes, and has no option to listen on loopback only.
  supergateway: {
    isolates: true,
    args: (port) => [
      peer('supergateway'),
      ...['--stateful', '--outputTransport', 'streamableHttp', '--logLevel', 'none', '--port', port],
      ...['--stdio', `"${process.execPath}" "${ECHO_SERVER}"`],
    ],
  },
};

export const peers = ['mcp-proxy', 'supergateway'];

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return String(port);
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1');
    const settle = (answer) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', settle(true));
    socket.on('error', settle(false));
  });
}

/** Starts a contestant and waits until it listens. `onSpawn` gets the child at once, so that it can be stopped whatever comes. */
export async function start(name, dir, onSpawn) {
  const { args, listening } = contestants[name];
  const port = await freePort();
  const command = args(port, dir);
  const begin = performance.now();
  const env = { ...process.env, XDG_STATE_HOME: dir };
  const child = spawn(process.execPath, command, { stdio: ['pipe', 'ignore', 'pipe'], env });
  onSpawn(child);

  let stderr = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk) => (stderr = (stderr + chunk).slice(-4000)));
  const fail = async (what) => {
    await stop(child);
    throw new Error(`${name} ${what}: ${stderr.trim().slice(-500) || 'nothing on stderr'}`);
  };

  while (!((listening?.test(stderr) ?? true) && (await accepts(port)))) {
    if (child.exitCode !== null || child.signalCode !== null) await fail('exited at its start');
    if (performance.now() - begin > START_MS) await fail('does not listen');
    await sleep(3);
  }
  return {
    child,
    url: `http://127.0.0.1:${port}/mcp`,
    startMs: performance.now() - begin,
    stderr: () => stderr,
  };
}
