import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import { ProxyError, messageOf } from '../errors.js';
import { log } from '../logger.js';
import type { ApiClient } from './client-http.js';
import type { EventView } from './door.js';
import { eventView } from './schemas.js';

/** Waits before a broken stream is asked for again, milliseconds; the last holds from then on. */
const WAITS = [300, 1000, 2000, 5000];

/**
 * Follows the events of a session from now on, also over breaks of the connection and restarts of the proxy, until the
 * returned function is called, the session is closed or the proxy refuses.
 * @throws {ProxyError} when there is nothing to follow
 */
export async function followEvents(
  client: ApiClient,
  ref: string,
  onevent: (event: EventView) => void,
): Promise<() => void> {
  const abort = new AbortController();
  const { signal } = abort;
  const path = ['sessions', ref, 'events'];
  let after: number | undefined;
  let closed = false;

  const give = (event: EventView) => {
    if (signal.aborted || (after !== undefined && event.seq <= after)) return;
    after = event.seq;
    closed ||= event.type === 'state' && event.data.to === 'closed';
    onevent(event);
  };
  const open = async () => {
    const query = after === undefined ? { last: 0 } : { after };
    const headers = { Accept: 'text/event-stream' };
    const response = await client.send({ method: 'GET', path, query, headers, signal });
    const frames = framesOf(response);
    // The first says from where it goes on.
    const { value } = await frames.next();
    after ??= Number(value?.id ?? 0);
    return frames;
  };
  const read = async (frames: AsyncGenerator<Frame, undefined>) => {
    for await (const { data } of frames) {
      const event = data === undefined ? undefined : eventView.safeParse(JSON.parse(data));
      if (event?.success) give(event.data);
    }
  };
  const readRest = async () => {
    const result = z.object({ events: z.array(eventView) });
    const { events } = await client.ask({ method: 'GET', path, query: { after } }, result);
    events.forEach(give);
  };
  const goOn = async (first: AsyncGenerator<Frame, undefined>) => {
    let frames: typeof first | undefined = first;
    for (let failures = 0; !signal.aborted && !closed; failures += 1) {
      try {
        if (frames) {
          await read(frames);
          failures = 0;
        }
      } catch {
        // It broke: asked for again.
      }
      frames = undefined;
      if (closed || signal.aborted) return;
      try {
        await wait(WAITS[Math.min(failures, WAITS.length - 1)], undefined, { signal });
        frames = await open();
      } catch (error) {
        if (signal.aborted || !(error instanceof ProxyError) || error.status >= 500) continue;
        if (error.code === 'SESSION_CLOSED') await readRest();
        return;
      }
    }
  };
  goOn(await open()).catch((error: unknown) => log.upstream.warn(messageOf(error)));
  return () => abort.abort();
}

interface Frame {
  id: string | undefined;
  data: string | undefined;
}

/** Server-sent events as the API writes them: one line of data at most. */
async function* framesOf({ body }: Response): AsyncGenerator<Frame, undefined> {
  if (!body) return undefined;
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of body) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length);
      const [id, data] = [field('id: '), field('data: ')];
      if (id !== undefined) yield { id, data: data === '' ? undefined : data };
    }
  }
  return undefined;
}
