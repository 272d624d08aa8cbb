import { within, type Clock } from '../clock.js';
import type { StopStep } from '../config/recovery.js';
import type { Connection } from '../downstream/types.js';
import { log } from '../logger.js';
import type { Calls } from './calls.js';

/** A server's connection and what is under way on it. */
export interface Live {
  connection: Connection;
  calls: Calls;
  startedAt: number;
}

/**
 * Has a server leave in order: by the tool calls that its stop begins with, then as its transport does.
 * @param steps of its stop
 */
export async function leave(
  { connection, calls }: Live,
  server: string,
  steps: readonly StopStep[],
  clock: Clock,
): Promise<void> {
  for (const { tool, args, wait } of steps) {
    if (tool === undefined) break;
    const call = calls.call('tools/call', { name: tool, arguments: args });
    await within(clock, wait, call).catch((error: Error) => log.session.warn({ server }, error.message));
  }
  await connection.close();
}
