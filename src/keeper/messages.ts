import type { AddressInfo, ListenOptions } from 'node:net';
import type { Command, Exit } from '../downstream/process.js';

/** What worker and keeper say to each other over the IPC channel of the fork. Handles travel beside the words. */

/** Where to listen, as `net.Server.listen` takes it. */
export type Address = Pick<ListenOptions, 'host' | 'port' | 'path'>;

/** What came of an order that has a number. */
export interface Done {
  /** Of the process that was started. */
  pid?: number;
  /** Where it listens now. */
  address?: AddressInfo | string | null;
}

/** Worker to keeper. `request` numbers what is answered by `done` or `failed`. */
export type Order =
  /** The program is loaded and could take over. */
  | { order: 'loaded' }
  /** Start a process. */
  | { order: 'spawn'; request: number; command: Command }
  /** Take connections under that name and pass them on. */
  | { order: 'listen'; request: number; door: string; address: Address }
  /** What the next worker is to know, by key; an empty text is forgotten. */
  | { order: 'remember'; key: string; text: string }
  /** A process and its group are gone. */
  | { order: 'forget'; pid: number }
  /** A connection has arrived: whoever has the other copy may close it. */
  | { order: 'took'; connection: number }
  /** Put a new worker in the place of this one: of that program, or of the present one as it is on disk now. */
  | { order: 'upgrade'; program?: string | undefined }
  /** This worker cannot start, for that reason. */
  | { order: 'give up'; message: string };

/** Keeper to worker. */
export type Word =
  /** With the near end of its stdin and stdout. */
  | { word: 'child'; pid: number; marker: string }
  /** With the near end of its stderr. */
  | { word: 'stderr'; pid: number }
  | ({ word: 'exit'; pid: number } & Exit)
  | { word: 'remembered'; key: string; text: string }
  /** All that is held was told: the worker is in charge, as the first one or after another. */
  | { word: 'go'; first: boolean }
  | ({ word: 'done'; request: number } & Done)
  /** The system refused it. */
  | { word: 'failed'; request: number; code: string | undefined; message: string }
  /** With the connection. */
  | { word: 'connection'; door: string; connection: number }
  /** Another worker is waiting to take over. */
  | { word: 'leave' }
  /** The one that was to take over cannot, for that reason. */
  | { word: 'stay'; message: string };
