import type { Clock } from '../clock.js';
import type { StopStep } from '../config/recovery.js';
import type { LocalServerConfig, RemoteServerConfig, ServerConfig } from '../config/schema.js';
import { asProxyError } from '../errors.js';
import { eraOf, type Era } from '../protocol/eras.js';
import { Child, type ProcessRegister } from './child.js';
import type { HandshakeOptions } from './handshake.js';
import { HttpTransport } from './http.js';
import { adoptLegacy, connectLegacy } from './legacy.js';
import { ModernHttpTransport } from './modern-http.js';
import { connectModern } from './modern.js';
import { spawnHere, type Spawn } from './process.js';
import { RemoteNotes, type Remember } from './remote-session.js';
import { SseTransport } from './sse.js';
import { StdioTransport } from './stdio.js';
import { fillTemplates, usesFolder } from './template.js';
import type { ConnectContext, Connection, Held, Transport } from './types.js';

/** Starts or reaches a configured server and does its handshake. */
export type Connect = (config: ServerConfig, context: ConnectContext) => Promise<Connection>;

/**
 * How long a process that nobody knows may take over a question of 2026-07-28, milliseconds: earlier servers may leave
 * it unanswered.
 */
const PROBE = 10_000;

/** Errors to `initialize` that speak for a server which has no such request. */
const NO_INITIALIZE = new Set([-32600, -32601, -32602, -32020, -32021, -32022]);

/** One try to start a server; nothing of a failed one is left running. */
type Try = (
  transport: Transport,
  handshake: (options: HandshakeOptions) => Promise<Connection>,
  timeout?: number,
) => Promise<Connection>;

/** What a keeper lends: its children, and its memory. */
export interface Lent {
  spawn?: Spawn;
  remember?: Remember;
}

/** The real thing: child processes and HTTP. */
export function createConnect(
  clock: Clock,
  register: ProcessRegister,
  { spawn = spawnHere, remember = () => {} }: Lent = {},
): Connect {
  return (config, context) => {
    const { name: server, timeouts } = config;
    const attempt: Try = async (transport, handshake, timeout = timeouts.start) => {
      try {
        return await handshake({ server, transport, clock, timeout, signal: context.signal });
      } catch (error) {
        await transport.close();
        throw asProxyError(error, 'SERVER_UNAVAILABLE');
      }
    };
    if (config.kind === 'remote') return connectRemote(config, context, attempt, remember);
    const filled = fillTemplates(`servers.${server}`, config, context.variables);
    const { maxMessage } = config;
    const process = { private: usesFolder(config), ...stopOf(config), clock, register };
    const options = { ...filled, ...process, server, maxMessage };
    const { held } = context;
    if (held && 'process' in held) {
      const transport = new StdioTransport({
        ...options,
        spawn: () => Promise.resolve(held.process),
        held: { unsent: held.unsent },
      });
      // A modern server has no handshake to be spared: what it is asked anew changes nothing in it.
      return eraOf(held.description.protocolVersion) === 'modern'
        ? attempt(transport, (given) => connectModern(given, context.client))
        : adoptLegacy(transport, held.description);
    }
    const start = () => new StdioTransport({ ...options, spawn });
    return connectLocal(config, context, attempt, start);
  };
}

/** The era to begin with: what is configured, else what was found last time, else the client's own. */
function firstEra({ era }: ServerConfig, { known, client }: ConnectContext): Era {
  return era === 'auto' ? (known ?? client.era) : era;
}

/**
 * A process of the other era may answer an error to its first message, pass it over, or leave. A server that refuses
 * `initialize` is asked in the same process; one that fails at a modern question gets a fresh one, since the old one may
 * have lost its composure.
 */
async function connectLocal(
  config: LocalServerConfig,
  context: ConnectContext,
  attempt: Try,
  start: () => Transport,
): Promise<Connection> {
  const { client, signal } = context;
  const auto = config.era === 'auto';
  const modern = (timeout?: number) => attempt(start(), (options) => connectModern(options, client), timeout);
  const legacy = () =>
    attempt(start(), (options) =>
      connectLegacy(options, client, async ({ code }, refusal) => {
        if (!auto || !NO_INITIALIZE.has(code)) throw refusal;
        try {
          return await connectModern(options, client);
        } catch {
          throw refusal; // what it said first tells more
        }
      }),
    );
  if (firstEra(config, context) === 'legacy') return legacy();
  if (!auto) return modern();
  try {
    return await modern(Math.min(config.timeouts.start, PROBE));
  } catch (error) {
    if (signal?.aborted) throw error;
    return legacy();
  }
}

/** The steps after those that call tools; the usual ones where there are none. */
function stopOf({ stop }: LocalServerConfig): { stop?: StopStep[] } {
  const steps = stop.filter(({ tool }) => tool === undefined);
  return steps.length > 0 ? { stop: steps } : {};
}

/**
 * 2025-11-25, transports, backwards compatibility: clients that support older servers POST `initialize` first and turn
 * to HTTP+SSE when it is refused. Between the two stands the question of 2026-07-28, or before them for its own clients.
 */
async function connectRemote(
  config: RemoteServerConfig,
  context: ConnectContext,
  attempt: Try,
  remember: Remember,
): Promise<Connection> {
  const { name: server, url, headers, maxMessage, transport, era } = config;
  const { client, signal, held } = context;
  const options = { server, url, headers, maxMessage, remember };
  if (held && 'remote' in held) {
    const { remote, description, expected } = held;
    const protocolVersion = String(description.protocolVersion);
    return adoptLegacy(
      new HttpTransport({ ...options, held: { remote, protocolVersion, expected } }),
      description,
    );
  }
  const legacy = () => attempt(new HttpTransport(options), (given) => connectLegacy(given, client));
  const modern = () => attempt(new ModernHttpTransport(options), (given) => connectModern(given, client));
  const sse = () => attempt(new SseTransport(options), (given) => connectLegacy(given, client));
  const eras = firstEra(config, context) === 'legacy' ? [legacy, modern] : [modern, legacy];
  const ways = {
    auto: [...eras, sse],
    legacy: [legacy, sse],
    modern: [modern],
  }[era].filter((way) => (transport === 'sse' ? way === sse : transport === 'auto' || way !== sse));
  let first: unknown;
  for (const way of ways) {
    try {
      return await way();
    } catch (error) {
      first ??= error; // the first failure tells more than those that follow from it
      if (signal?.aborted) break;
    }
  }
  throw asProxyError(first, 'SERVER_UNAVAILABLE');
}

/**
 * Ends in order what an earlier process of ours left and nobody wants any more.
 * @param config of the server, if it is still the same: a session's id is for no other address
 */
export async function endHeld(
  held: Held,
  config: ServerConfig | undefined,
  clock: Clock,
  register: ProcessRegister,
  remember: Remember,
): Promise<void> {
  if ('remote' in held) {
    const { remote } = held;
    if (config?.kind !== 'remote') return new RemoteNotes(remember, remote).forget();
    const options = { ...config, server: config.name, remember };
    return new HttpTransport({ ...options, held: { remote, expected: [] } }).close();
  }
  const spawn = () => Promise.resolve(held.process);
  const child = new Child({
    server: 'unwanted',
    command: '',
    args: [],
    env: {},
    cwd: '.',
    clock,
    register,
    spawn,
  });
  await child.start();
  await child.stop();
}
