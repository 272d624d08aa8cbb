import {
  connectProxy,
  openProxy,
  ProxyError,
  type ConfigInput,
  type ProxyHandle,
  type ToolResult,
} from '../../../src/index.js';
import { setLogLevel } from '../../../src/logger.js';
import { fixture, local, TemporaryFolder } from '../../support/proxy.js';
import { ForwardClock } from './clock.js';

setLogLevel('silent');

export const MINUTE = 60_000;
export const counter = local('counter');

/** A proxy as a test uses it, with the hands of its clock. */
export interface Place extends AsyncDisposable {
  readonly proxy: ProxyHandle;
  readonly clock: ForwardClock;
}

export type Open = (config?: Partial<ConfigInput>) => Promise<Place>;

/** A proxy in this process. */
export async function openHere(config: Partial<ConfigInput> = {}, listen = false): Promise<Place> {
  const clock = new ForwardClock();
  const proxy = await openProxy({
    config: { servers: { counter }, listen: { port: 0 }, ...config },
    clock,
    listen,
  });
  return { proxy, clock, [Symbol.asyncDispose]: () => proxy.close() };
}

/** A proxy that is reached over HTTP. */
export async function openThere(config: Partial<ConfigInput> = {}): Promise<Place> {
  const there = await openHere(config, true);
  const proxy = connectProxy(there.proxy.url ?? '');
  return {
    proxy,
    clock: there.clock,
    [Symbol.asyncDispose]: async () => {
      await proxy.close();
      await there.proxy.close();
    },
  };
}

/** Both, for a suite that must hold in each. */
export const places: [string, Open][] = [
  ['in this process', (config) => openHere(config)],
  ['at a URL', openThere],
];

/** The number that a counter's result tells. */
export function numberOf({ content }: ToolResult): number {
  return Number((content as { text: string }[]).at(-1)?.text);
}

/** Config of a server that can be started only while a file exists. */
export function whileFile(file: string): Record<string, unknown> & { command: string; args: string[] } {
  return { command: process.execPath, args: [fixture('needs-file'), file] };
}

export { fixture, local, TemporaryFolder };

/** What a result says of the session it came from. */
export function sessionOf({ _meta }: ToolResult) {
  return (_meta as Record<string, SessionTold>)['mcp-session-proxy/session'];
}

interface SessionTold {
  id: string;
  name: string | null;
  state: string;
  temporary: boolean;
  lost?: { server: string; reason: string }[];
}

/** The stable code that a promise fails with. */
export async function codeOf(job: Promise<unknown>): Promise<string> {
  try {
    await job;
  } catch (error) {
    return error instanceof ProxyError ? error.code : `no ProxyError: ${String(error)}`;
  }
  return 'no failure';
}
