import { connect, createServer, type AddressInfo } from 'node:net';

import { within, type Clock } from '../clock.js';
import type { CompanionConfig } from '../config/companions.js';
import type { LocalServerConfig, ServerConfig } from '../config/schema.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';
import { log } from '../logger.js';
import { Child, type ProcessRegister, type ProcessStep } from './child.js';
import type { ServerProcess, Spawn } from './process.js';
import { filler, fillTemplates, usesFolder, type CommandLine, type Variables } from './template.js';

/** How often one that starts is asked whether it is ready, and how long an answer may take, milliseconds. */
const POLL = 25;
const POLL_TIMEOUT = 1000;

/** An ordered stop, where the config names no other: nobody waits for input that never came. */
const STOP: readonly ProcessStep[] = [{ signal: 'SIGTERM', wait: 5000 }];

/** Of what it writes while it starts, so many characters are searched for the line that tells. */
const SEARCHED = 64 * 1024;

export interface CompanionDrivers {
  clock: Clock;
  register: ProcessRegister;
  spawn?: Spawn | undefined;
}

/** What a server is started with beside its companions. */
export interface Company {
  /** Those that were given, and `companion.NAME.port` of each. */
  variables: Variables;
  /** Names of the companions when all of them run since before: what they hold is still there. */
  kept: string[] | undefined;
}

interface Running {
  child: Child;
  variables: Variables;
}

/** The processes beside one server. They outlive it when it alone ends, and leave when nobody wants it any more. */
export class Companions {
  /** Told when one ends by itself; completes "because its companion …". */
  onlost: (how: string) => void = () => {};
  readonly #server: string;
  readonly #configs: [string, CompanionConfig][];
  readonly #drivers: CompanionDrivers;
  readonly #running = new Map<string, Running>();
  #leaving: Promise<unknown> = Promise.resolve();
  #staying = true;

  constructor({ name, companions }: LocalServerConfig, drivers: CompanionDrivers) {
    this.#server = name;
    this.#configs = Object.entries(companions);
    this.#drivers = drivers;
  }

  /**
   * Starts those that do not run, one after the other.
   * @param label what the next worker is to know of one, by its name and its own variables
   * @throws {ProxyError} SERVER_UNAVAILABLE
   */
  async ready(
    variables: Variables,
    label: (name: string, own: Variables) => string,
    signal: AbortSignal,
  ): Promise<Company> {
    await this.release(); // two on one folder or port would fight
    const missing = this.#configs.filter(([name]) => !this.#running.has(name));
    const fresh = new Map<string, Variables>();
    for (const [name] of missing) fresh.set(name, { [`companion.${name}.port`]: String(await freePort()) });
    const known = [...[...this.#running.values()].map((one) => one.variables), ...fresh.values()];
    const all = known.reduce((sum, own) => ({ ...sum, ...own }), variables);
    try {
      for (const [name, config] of missing) {
        const own = fresh.get(name) ?? {};
        const child = await this.#start(name, config, all, own, signal);
        child.remember('label', label(name, own));
      }
    } finally {
      for (const [name, own] of fresh) if (!this.#running.has(name)) giveBack(own);
    }
    return { variables: all, kept: missing.length === 0 ? this.#configs.map(([name]) => name) : undefined };
  }

  /** Goes on with one that an earlier worker started. */
  async adopt(name: string, process: ServerProcess, own: Variables): Promise<void> {
    const config = this.#configs.find(([one]) => one === name)?.[1];
    const running = this.#running.get(name)?.child.pid;
    if (running === process.pid) return; // another session on the same server was first
    if (!config || running !== undefined) throw new Error(`nobody waits for companion "${name}"`);
    const line = { command: '', args: [], env: {}, cwd: '.' };
    await this.#run(name, config, line, own, () => Promise.resolve(process));
  }

  /** All of them run. @throws {ProxyError} SERVER_UNAVAILABLE */
  check(): void {
    const gone = this.#configs.find(([name]) => !this.#running.has(name));
    if (!gone) return;
    const text = `Companion "${gone[0]}" of server "${this.#server}" has left meanwhile. Try again.`;
    throw new ProxyError('SERVER_UNAVAILABLE', text);
  }

  /** Whether they go on when their server is started anew. */
  get staying(): boolean {
    return this.#staying;
  }

  /** What they hold is not what it should be, or not wanted any more: the next start begins with new ones. */
  spoil(): void {
    this.#staying = false;
  }

  /** Stops those that were spoiled; resolves when they are gone. @param force at once instead of in order */
  async release(force = false): Promise<void> {
    if (this.#staying) return void (await this.#leaving); // others stand in their place by now
    this.#staying = true;
    const children = [...this.#running.values()].map(({ child }) => child);
    this.#forget([...this.#running.keys()]);
    this.#leaving = Promise.all([this.#leaving, ...children.map((child) => child.stop(force))]);
    await this.#leaving;
  }

  async #start(
    name: string,
    config: CompanionConfig,
    variables: Variables,
    own: Variables,
    signal: AbortSignal,
  ): Promise<Child> {
    const place = `servers.${this.#server}.companions.${name}`;
    const line = fillTemplates(place, config, variables);
    let said = '';
    let heard = () => {};
    const child = await this.#run(name, config, line, own, this.#drivers.spawn, (chunk) => {
      said = (said + chunk.toString('utf8')).slice(-SEARCHED);
      heard();
    });
    const fill = filler(place, variables);
    const over = new AbortController();
    const { http, tcp, line: pattern } = config.ready ?? {};
    const telling = new Promise<void>((resolve) => {
      const look = () =>
        pattern === undefined || new RegExp(pattern, 'm').test(said) ? resolve() : undefined;
      heard = look;
      look();
    });
    const ready =
      http !== undefined
        ? this.#poll(() => answers(fill(http)), over.signal)
        : tcp !== undefined
          ? this.#poll(() => connects(Number(fill(String(tcp)))), over.signal)
          : telling;
    try {
      await this.#wait(name, config, child, ready, signal);
      return child;
    } catch (error) {
      this.#forget([name]);
      await child.stop(true);
      throw error;
    } finally {
      over.abort();
      heard = () => {};
    }
  }

  async #wait(
    name: string,
    { startTimeout }: CompanionConfig,
    child: Child,
    ready: Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const unwanted = new Promise<string>((resolve) => {
      const told = () => resolve('it is not wanted any more');
      if (signal.aborted) told();
      signal.addEventListener('abort', told, { once: true });
    });
    const end = await within(
      this.#drivers.clock,
      startTimeout,
      Promise.race([
        ready.then(() => 'ready'),
        child.exited.then(() => 'it left before it was ready'),
        unwanted,
      ]),
    );
    if (end === 'ready') return;
    const what = end ?? `it was not ready within ${formatDuration(startTimeout)} (startTimeout)`;
    const who = `Companion "${name}" of server "${this.#server}"`;
    throw new ProxyError('SERVER_UNAVAILABLE', `${who} could not be started: ${what}.${child.diagnosis()}`);
  }

  async #run(
    name: string,
    config: CompanionConfig,
    line: CommandLine,
    own: Variables,
    spawn: Spawn | undefined,
    onwords?: (chunk: Buffer) => void,
  ): Promise<Child> {
    const { clock, register } = this.#drivers;
    const child = new Child({
      ...line,
      server: this.#server,
      companion: name,
      private: usesFolder(config),
      stop: config.stop.length > 0 ? config.stop : STOP,
      ...(onwords && { onwords }),
      ...(spawn && { spawn }),
      clock,
      register,
    });
    const { stdout } = await child.start();
    stdout.on('data', (chunk: Buffer) => child.keep(chunk));
    this.#running.set(name, { child, variables: own });
    void child.exited.then((how) => {
      if (this.#running.get(name)?.child !== child) return;
      this.#forget([name]);
      log.downstream.warn({ server: this.#server, companion: name }, `The companion ${how}.`);
      this.onlost(`"${name}" ${how}`);
    });
    return child;
  }

  #forget(names: string[]): void {
    for (const name of names) {
      giveBack(this.#running.get(name)?.variables ?? {});
      this.#running.delete(name);
    }
  }

  async #poll(ask: () => Promise<boolean>, over: AbortSignal): Promise<void> {
    while (!over.aborted && !(await ask()))
      await new Promise<void>((resolve) => this.#drivers.clock.after(POLL, resolve));
  }
}

/** Companions for servers that have some. */
export function createCompanions(drivers: CompanionDrivers) {
  return (config: ServerConfig): Companions | undefined =>
    config.kind === 'local' && Object.keys(config.companions).length > 0
      ? new Companions(config, drivers)
      : undefined;
}

/** Ports that companions of this process were given; the system may well offer one twice before it is used. */
const given = new Set<string>();

async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = await new Promise<number>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
    await new Promise((resolve) => server.close(resolve));
    if (given.has(String(port))) continue;
    given.add(String(port));
    return port;
  }
}

function giveBack(own: Variables): void {
  for (const port of Object.values(own)) given.delete(port);
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(POLL_TIMEOUT) });
    await response.body?.cancel();
    return response.status < 500;
  } catch {
    return false; // not yet
  }
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: POLL_TIMEOUT });
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}
