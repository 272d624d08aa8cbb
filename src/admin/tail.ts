import { messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { Door, EventQuery, EventView } from './door.js';

/**
 * Gives the events that are asked for and then all that happen, without a gap and none twice, until the returned
 * function is called. Backfill, cutover, live: what happens while the past is read waits for it.
 */
export async function tail(
  door: Pick<Door, 'events' | 'follow'>,
  ref: string,
  query: EventQuery,
  onevent: (event: EventView) => void,
): Promise<() => void> {
  let given = query.after ?? 0;
  let waiting: EventView[] | undefined = [];
  const give = (event: EventView) => {
    if (event.seq <= given) return;
    given = event.seq;
    onevent(event);
  };
  const stop = await door.follow(ref, (event) => (waiting ? waiting.push(event) : give(event)));
  try {
    (await door.events(ref, query)).forEach(give);
    waiting.forEach(give);
    waiting = undefined;
    return stop;
  } catch (error) {
    stop();
    throw error;
  }
}

/** A follower whose failure disturbs neither the session nor others who follow. */
export function harmless(onevent: (event: EventView) => void): (event: EventView) => void {
  return (event) => {
    try {
      onevent(event);
    } catch (error) {
      log.session.error(`A follower of events failed: ${messageOf(error)}`);
    }
  };
}
