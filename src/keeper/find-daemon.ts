import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';

/** A daemon that starts gets this long, milliseconds. */
const START_TIMEOUT = 15_000;
const POLL = 20;

/** Where the daemon of a config is, and how it is started. */
export interface DaemonPlace {
  /** Of its socket, lock and log; for this user alone. */
  folder: string;
  program: string;
  args: string[];
}

export function socketIn(folder: string): string {
  return join(folder, 'daemon.sock');
}

/** A connection to the daemon; undefined where none runs. */
export function reach(folder: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(socketIn(folder));
    socket.once('connect', () => resolve(socket));
    socket.once('error', () => resolve(undefined));
  });
}

/** A connection to the daemon, which is started if need be, once, however many ask. @throws what it said instead */
export async function reachOrStart(place: DaemonPlace): Promise<Socket> {
  mkdirSync(place.folder, { recursive: true, mode: 0o700 });
  for (const end = Date.now() + START_TIMEOUT; Date.now() < end;) {
    const socket = (await reach(place.folder)) ?? (await underLock(place.folder, () => start(place)));
    if (socket) return socket;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  throw new Error(`The daemon does not answer. Its log: ${logIn(place.folder)}.`);
}

/** @returns undefined, and nothing was done, while somebody else is at it */
async function underLock<T>(folder: string, job: () => Promise<T>): Promise<T | undefined> {
  const lock = join(folder, 'daemon.lock');
  try {
    mkdirSync(lock);
  } catch {
    // Of somebody who died over it.
    const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > START_TIMEOUT) rmdirSync(lock);
    return undefined;
  }
  try {
    return await job();
  } finally {
    rmdirSync(lock);
  }
}

async function start({ folder, program, args }: DaemonPlace): Promise<Socket> {
  const there = await reach(folder); // somebody was quicker
  if (there) return there;
  rmSync(socketIn(folder), { force: true }); // left by one that died
  const log = openSync(logIn(folder), 'a', 0o600);
  const begun = statSync(logIn(folder)).size;
  const child = spawn(process.execPath, [program, ...args], { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.unref();
  let gone = false;
  child.once('exit', () => (gone = true));
  child.once('error', () => (gone = true));
  for (const end = Date.now() + START_TIMEOUT; Date.now() < end && !gone;) {
    const socket = await reach(folder);
    if (socket) return socket;
    await new Promise((resolve) => setTimeout(resolve, POLL));
  }
  const said = readFileSync(logIn(folder)).subarray(begun).toString('utf8').trim();
  throw new Error(`The daemon could not be started:\n${said}`);
}

function logIn(folder: string): string {
  return join(folder, 'daemon.log');
}
