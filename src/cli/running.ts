import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findConfigFile, stateFolderOf } from '../config/places.js';
import { isRunning, markOf } from '../downstream/process-mark.js';
import { ProxyError } from '../errors.js';
import { CONTROL_PATH, type ProxyStatus, type Upgraded } from '../daemon/words.js';
import { socketIn } from '../daemon/find.js';
import { NotTaken, Wire } from '../daemon/wire.js';

interface Options {
  config?: string;
  json?: true;
}

const POLL = 50;

/** `mcp-session-proxy status`. */
export async function status(options: Options): Promise<void> {
  const running = await ask<ProxyStatus>(options, 'GET', '');
  print(options, running ?? null, running ? described(running) : NOTHING);
}

/** `mcp-session-proxy stop`: returns when it has ended. */
export async function stop(options: Options): Promise<void> {
  const running = await ask<ProxyStatus>(options, 'POST', '/stop');
  const mark = running && markOf(running.pid);
  while (mark && isRunning(mark)) await delay(POLL);
  print(options, { stopped: running?.pid ?? null }, running ? `Stopped process ${running.pid}.` : NOTHING);
}

/** `mcp-session-proxy upgrade`: returns when the new worker serves. @throws {ProxyError} SERVER_UNAVAILABLE */
export async function upgrade(options: Options): Promise<void> {
  const before = await ask<ProxyStatus>(options, 'GET', '');
  if (!before) throw new ProxyError('SERVER_UNAVAILABLE', NOTHING);
  const told = await ask<Upgraded>(options, 'POST', '/upgrade');
  if (told?.problem !== null) {
    const why = told ? told.problem : 'It has ended meanwhile.';
    throw new ProxyError('SERVER_UNAVAILABLE', `No new worker could take over; the old one goes on. ${why}`);
  }
  let after = await ask<ProxyStatus>(options, 'GET', '');
  while (after?.worker === before.worker) {
    await delay(POLL); // it is on its way out
    after = await ask<ProxyStatus>(options, 'GET', '');
  }
  if (!after) throw new ProxyError('SERVER_UNAVAILABLE', 'The proxy has ended instead. Its log says why.');
  const text = `A new worker of version ${after.version} has taken over (process ${after.worker}); servers and sessions go on.`;
  print(options, after, text);
}

const NOTHING = 'No proxy of this config runs that could be asked.';

function described({ version, pid, daemon, url, socket, log, clients, sessions }: ProxyStatus): string {
  const where = [url, socket].filter((place) => place !== null).join(' and ');
  return [
    `${daemon ? 'Daemon' : 'Proxy'} ${version}, process ${pid}, on ${where}.`,
    `${counted(clients, 'client')} on pipes, ${counted(sessions, 'session')} with running servers.`,
    ...(log === null ? [] : [`Log: ${log}`]),
  ].join('\n');
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** @returns undefined when no proxy of the config runs */
async function ask<T>({ config }: Options, method: 'GET' | 'POST', verb: string): Promise<T | undefined> {
  const wire = new Wire(socketIn(stateFolderOf(resolve(config ?? findConfigFile()))));
  for (;;) {
    try {
      const { status: code, text } = await wire.ask({ method, path: `${CONTROL_PATH}${verb}` });
      if (code === 200) return JSON.parse(text) as T;
      throw new ProxyError('SERVER_UNAVAILABLE', `The proxy does not understand the command: ${text}`);
    } catch (error) {
      if (error instanceof NotTaken && error.nobody) return undefined;
      if (error instanceof ProxyError || method === 'POST') throw error;
      await delay(POLL); // one worker follows another
    }
  }
}

function print({ json }: Options, value: unknown, text: string): void {
  console.log(json ? JSON.stringify(value, null, 2) : text);
}
