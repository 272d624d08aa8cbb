import { pause, scatter, type Clock, type Random } from '../clock.js';
import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import { Turns } from '../turns.js';
import type { Spawn } from './process.js';

/** Processes that are being started at a time: a burst of sessions is not to take the machine's breath. */
const AT_ONCE = 8;

/** How often a process is tried to be started while there is no room for it, and the first wait, which doubles; milliseconds. */
const TRIES = 8;
const FIRST_WAIT = 100;

/** What the system says when it has no room for one more process, or for its pipes, just now. */
const NO_ROOM = new Set(['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE']);

export function isNoRoom(error: unknown): boolean {
  return NO_ROOM.has((error as NodeJS.ErrnoException).code ?? '');
}

/** Starts some processes at a time, and waits for room where the system has none. */
export function patient(spawn: Spawn, clock: Clock, random?: Random): Spawn {
  const turns = new Turns(AT_ONCE);
  return async (command, signal) => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await turns.take(() => {
          signal?.throwIfAborted();
          return spawn(command);
        });
      } catch (error) {
        if (!isNoRoom(error) || attempt === TRIES) throw error;
        log.downstream.warn(`There is no room for another process: ${messageOf(error)}. It is tried again.`);
        await pause(clock, scatter(FIRST_WAIT * 2 ** (attempt - 1), random), signal);
      }
    }
  };
}
