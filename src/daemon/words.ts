/** Below this path stands what the local socket alone offers. */
export const CONTROL_PATH = '/proxy';

/** What a shim tells when it attaches. */
export interface Attaching {
  /** Of the shim's own program, which takes over where it is the newer one. */
  version: string;
  program: string;
  /** It came back after a new worker took over: no other one is wanted. */
  settled: boolean;
}

/** The first line of the answer, which stays open for as long as the shim is attached. */
export type Attached =
  | { again: true }
  | {
      again: false;
      version: string;
      /** Where it serves HTTP as well. */
      url: string | null;
      /** What the person behind the client should know. */
      warnings: string[];
    };

/** What runs on a config. */
export interface ProxyStatus {
  version: string;
  /** Of the process to signal. */
  pid: number;
  /** Of the process that serves, which an upgrade replaces. */
  worker: number;
  /** Started by a shim, and left when nobody needs it. */
  daemon: boolean;
  config: string;
  socket: string;
  url: string | null;
  /** Where it writes, unless that is somebody's terminal. */
  log: string | null;
  /** Clients on pipes that are attached just now. */
  clients: number;
  /** Sessions with running servers. */
  sessions: number;
}

/** The answer to the wish for a new worker. */
export interface Upgraded {
  /** Why the old one goes on; null when the new one takes over. */
  problem: string | null;
}
