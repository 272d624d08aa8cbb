import { copyFileSync, statSync, truncateSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { within, type Clock } from '../clock.js';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import { isFields } from '../protocol/messages.js';
import { readBody, type Handler, type Routes } from '../upstream/listener.js';
import { isNewer } from '../version.js';
import { CONTROL_PATH, type Attached, type Attaching, type ProxyStatus, type Upgraded } from './words.js';

const LOOK_EVERY = 30_000;
const MAX_BODY = 16 * 1024;

/** A new worker that has not loaded after this long is not waited for, milliseconds. */
const UPGRADE_TIMEOUT = 20_000;

/** A log that has grown beyond this goes on anew; what it held until then is kept once, bytes. */
const MAX_LOG = 4 * 1024 ** 2;

export interface ControlOptions {
  clock: Clock;
  about: Omit<ProxyStatus, 'clients' | 'sessions'>;
  /** How many sessions have running servers. */
  running: () => Promise<number>;
  /** Whether the config file is another one than was read at the start. */
  changed: () => boolean;
  /** Puts a new worker in the place of this one. @returns why that cannot be, if so */
  upgrade: (program?: string) => Promise<string | undefined>;
  /** Ends the whole program. */
  stop: () => void;
  /** A time without clients and running servers after which it ends, milliseconds; undefined for never. */
  idle: number | undefined;
}

/** What can be done with the running proxy as a whole, by those who come over its local socket. */
export class Control {
  readonly #options: ControlOptions;
  /** One open answer for each shim that is attached. */
  readonly #clients = new Set<ServerResponse>();
  #upgrading: Promise<string | undefined> | undefined;
  #idleSince: number;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.#idleSince = options.clock.now();
    this.#lookLater();
  }

  get routes(): Routes {
    const post = (run: (body: unknown, response: ServerResponse) => Promise<void>): Handler =>
      async function handle(request, response) {
        if (request.method !== 'POST') throw new ProxyError('METHOD_NOT_ALLOWED', 'Use POST.');
        await run(await jsonOf(request), response);
      };
    return new Map<string, Handler>([
      [CONTROL_PATH, async (_, response) => answer(response, await this.status())],
      [`${CONTROL_PATH}/attach`, post((body, response) => this.#attach(body, response))],
      [`${CONTROL_PATH}/upgrade`, post((_, response) => this.#answerUpgrade(response))],
      [`${CONTROL_PATH}/stop`, post((_, response) => this.#stop(response))],
    ]);
  }

  async status(): Promise<ProxyStatus> {
    const { about, running } = this.#options;
    return { ...about, clients: this.#clients.size, sessions: await running() };
  }

  async #attach(body: unknown, response: ServerResponse): Promise<void> {
    const { about } = this.#options;
    const warnings: string[] = [];
    const shim = toAttaching(body);
    const wanted = shim.settled ? undefined : this.#wanted(shim);
    if (wanted) {
      const problem = await this.#upgrade(wanted.program);
      if (problem === undefined) return answer(response, { again: true } satisfies Attached);
      warnings.push(`${wanted.why}, but no new worker could take over, so this one goes on: ${problem}`);
    }
    if (response.destroyed) return;
    this.#clients.add(response);
    response.once('close', () => {
      this.#clients.delete(response);
      this.#idleSince = this.#options.clock.now();
    });
    const { version, url } = about;
    const attached: Attached = { again: false, version, url, warnings };
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    response.write(`${JSON.stringify(attached)}\n`);
  }

  /** A shim brings the proxy up to date: to the config as it is now, and to its own program, if that is newer. */
  #wanted({ version, program }: Attaching): { why: string; program?: string } | undefined {
    const { about, changed } = this.#options;
    // Who started a proxy by hand chose its program.
    if (about.daemon && isNewer(version, about.version))
      return { why: `The client brings version ${version}`, program };
    return changed() ? { why: 'The config file has changed' } : undefined;
  }

  #upgrade(program?: string): Promise<string | undefined> {
    this.#upgrading ??= this.#tryUpgrade(program).finally(() => (this.#upgrading = undefined));
    return this.#upgrading;
  }

  async #tryUpgrade(program?: string): Promise<string | undefined> {
    const { clock, upgrade } = this.#options;
    const verdict = upgrade(program).then((problem) => ({ problem }));
    const known = await within(clock, UPGRADE_TIMEOUT, verdict);
    return known ? known.problem : `The new worker did not load within ${UPGRADE_TIMEOUT / 1000} s.`;
  }

  async #answerUpgrade(response: ServerResponse): Promise<void> {
    answer(response, { problem: (await this.#upgrade()) ?? null } satisfies Upgraded);
  }

  async #stop(response: ServerResponse): Promise<void> {
    answer(response, await this.status());
    this.#options.stop();
  }

  #lookLater(): void {
    this.#options.clock.after(LOOK_EVERY, () => {
      this.#look().catch((error: unknown) => log.proxy.warn(messageOf(error)));
      this.#lookLater();
    });
  }

  async #look(): Promise<void> {
    const { about, clock, idle, running, stop } = this.#options;
    if (about.log !== null) boundLog(about.log);
    if (idle === undefined) return;
    if (this.#clients.size > 0 || (await running()) > 0) this.#idleSince = clock.now();
    if (clock.now() - this.#idleSince < idle) return;
    log.proxy.info('Nobody needs the daemon any more.');
    stop();
  }
}

function toAttaching(body: unknown): Attaching {
  const { version, program, settled } = isFields(body) ? body : {};
  if (typeof version !== 'string' || typeof program !== 'string' || typeof settled !== 'boolean')
    throw new ProxyError('INVALID_REQUEST', 'A shim says its version and its program.');
  return { version, program, settled };
}

async function jsonOf(request: IncomingMessage): Promise<unknown> {
  const text = await readBody(request, MAX_BODY);
  try {
    return text === '' ? undefined : JSON.parse(text);
  } catch (error) {
    throw new ProxyError('PARSE_ERROR', 'The request body is not valid JSON.', { cause: error });
  }
}

function answer(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

/** Whoever writes to it appends, and so goes on at the beginning. */
function boundLog(file: string): void {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < MAX_LOG) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file);
}
