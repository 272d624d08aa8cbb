import { request } from 'node:http';
import type { Readable } from 'node:stream';

/** `fetch` as far as the clients of this program need it. */
export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

/** What stands before the path of a socket where a URL could stand as well. */
const SCHEME = 'unix:';

/** The path of the socket in `unix:PATH`; undefined for any other URL. */
export function socketOf(url: string): string | undefined {
  return url.startsWith(SCHEME) ? url.slice(SCHEME.length) : undefined;
}

/** Of `Response`: these have no body. */
const EMPTY = new Set([204, 205, 304]);

/** Fetches over a socket of this machine, which HTTP speaks as it does over a port; the host of the URL does not matter. */
export function fetchOver(socketPath: string): Fetch {
  return (url, { method = 'GET', headers, body, signal } = {}) =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        url,
        {
          socketPath,
          method,
          headers: Object.fromEntries(new Headers(headers)),
        },
        (incoming) => {
          const { statusCode = 0, rawHeaders } = incoming;
          incoming.on('error', () => {}); // whoever reads the body hears of it
          const told = new Headers();
          for (let i = 0; i < rawHeaders.length; i += 2)
            told.append(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '');
          const empty = EMPTY.has(statusCode);
          if (empty) incoming.resume();
          const stream = empty ? null : toWeb(incoming);
          resolve(new Response(stream, { status: statusCode, headers: told }));
        },
      );
      outgoing.on('error', reject);
      // Not by an option of the request: that tells of it where nobody listens, once the answer is there.
      const abort = () => {
        reject(new DOMException('This operation was aborted', 'AbortError'));
        outgoing.destroy();
      };
      if (signal?.aborted) abort();
      signal?.addEventListener('abort', abort, { once: true });
      outgoing.once('close', () => signal?.removeEventListener('abort', abort));
      outgoing.end(typeof body === 'string' ? body : undefined);
    });
}

function toWeb(incoming: Readable): ReadableStream<Uint8Array> {
  const iterator = incoming[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = (await iterator.next()) as IteratorResult<Buffer, undefined>;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void incoming.destroy(),
  });
}
