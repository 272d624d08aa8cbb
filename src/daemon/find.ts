import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { messageOf, ProxyError } from '../errors.js';

/** A daemon that starts gets this long, milliseconds. */
const START_TIMEOUT = 15_000;
const POLL = 20;

/** What a path of a socket may have on every system, bytes. */
const LONGEST_PATH = 103;

/** Exit code of a program whose config or command line is at fault. */
const USAGE = 2;

/** Where the proxy of a config is found, and how it is started. */
export interface DaemonPlace {
  /** Of its socket, lock and log; for this user alone. */
  folder: string;
  program: string;
  args: string[];
}

export function socketIn(folder: string): string {
  return join(folder, 'proxy.sock');
}

export function logIn(folder: string): string {
  return join(folder, 'daemon.log');
}

/** Whether a proxy can listen in that folder: Windows passes no connections between processes, and no path may be too long. */
export function canListenIn(folder: string): boolean {
  return process.platform !== 'win32' && Buffer.byteLength(socketIn(folder)) <= LONGEST_PATH;
}

/** Whether a proxy listens there. */
export function isThere(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketIn(folder));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Listens in the folder unless somebody else does. @returns whether it does now */
export async function listenIn(folder: string, listen: (path: string) => Promise<unknown>): Promise<boolean> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    await listen(socketIn(folder));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    if (await isThere(folder)) return false;
    rmSync(socketIn(folder), { force: true }); // left by one that died
    await listen(socketIn(folder));
  }
  return true;
}

/**
 * Sees to it that a proxy listens there, which is started once, however many ask.
 * @throws {ProxyError} CONFIG_INVALID or SERVER_UNAVAILABLE, with what it said instead
 */
export async function startDaemon(place: DaemonPlace): Promise<void> {
  try {
    mkdirSync(place.folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new ProxyError(
      'SERVER_UNAVAILABLE',
      `The folder ${place.folder} for the socket of a daemon cannot be made: ${messageOf(error)}. Set XDG_STATE_HOME to a ` +
        'folder that can be written, or use --no-daemon.',
      { cause: error },
    );
  }
  for (const end = Date.now() + START_TIMEOUT; Date.now() < end;) {
    if (await isThere(place.folder)) return;
    await underLock(place.folder, () => start(place));
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  throw new ProxyError(
    'SERVER_UNAVAILABLE',
    `The daemon does not answer. Its log: ${logIn(place.folder)}. With --no-daemon everything is one process.`,
  );
}

/** Does nothing while somebody else is at it. */
async function underLock(folder: string, job: () => Promise<void>): Promise<void> {
  const lock = join(folder, 'daemon.lock');
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!isAlive(readHolder(lock))) rmSync(lock, { force: true }); // of one that died over it
    return;
  }
  try {
    await job();
  } finally {
    rmSync(lock, { force: true });
  }
}

function readHolder(lock: string): number {
  try {
    return Number(readFileSync(lock, 'utf8'));
  } catch {
    return process.pid; // it was given back just now
  }
}

function isAlive(pid: number): boolean {
  try {
    // An empty file is of one that is just writing into it.
    return pid === 0 || process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function start({ folder, program, args }: DaemonPlace): Promise<void> {
  if (await isThere(folder)) return; // somebody was quicker
  const log = openSync(logIn(folder), 'a', 0o600);
  const begun = statSync(logIn(folder)).size;
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder, // not that of the client, which may want to remove it
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  let code: number | null | undefined;
  child.once('exit', (exit) => (code = exit));
  child.once('error', () => (code = null));
  for (const end = Date.now() + START_TIMEOUT; Date.now() < end && code === undefined;) {
    if (await isThere(folder)) return;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  if (await isThere(folder)) return; // of somebody else, for whom it made way
  throw new ProxyError(
    code === USAGE ? 'CONFIG_INVALID' : 'SERVER_UNAVAILABLE',
    saidSince(folder, begun) || `The daemon could not be started. Its log: ${logIn(folder)}.`,
  );
}

/** What it told people, without what it logged. */
function saidSince(folder: string, begun: number): string {
  const lines = readFileSync(logIn(folder)).subarray(begun).toString('utf8').split('\n');
  const said = lines.filter((line) => !line.startsWith('{')).join('\n');
  return said.trim().replace(/^mcp-session-proxy: /, '');
}
