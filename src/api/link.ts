import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { Door } from '../admin/door.js';
import type { Clock } from '../clock.js';

/** The way to a proxy, in this process or elsewhere: all in which the two differ. */
export interface Link extends AsyncDisposable {
  readonly clock: Clock;
  /** Address of the MCP endpoint; undefined while nothing listens. */
  readonly endpoint: string | undefined;
  /** Who comes to an address of the endpoint or over a transport; undefined when it is whom the door serves. */
  readonly guest: string | undefined;
  /** What all principals share, and the sessions of the principal whom the link stands for. */
  readonly door: Door;
  /** The sessions of an agent. @throws {ProxyError} INVALID_PARAMS */
  doorOf(agent: string): Territory;
  /** For an MCP client that is to work in the session at that address. */
  transport(address: string): Transport;
}

/** Where a space's sessions are. */
export interface Territory {
  readonly door: Door;
  readonly scope: 'agent' | 'store';
  /** What the names of its sessions begin with; empty where it has the principal for itself. */
  readonly prefix: string;
}

/** What the objects of one space have in common. */
export interface Context extends Territory {
  readonly link: Link;
  /** Values being made for the first time, by session and key. */
  readonly making: Map<string, Promise<unknown>>;
}
