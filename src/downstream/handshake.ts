import type { Clock } from '../clock.js';
import { formatDuration } from '../config/units.js';
import { ProxyError } from '../errors.js';
import type { Transport } from './types.js';

/** What both handshakes need. */
export interface HandshakeOptions {
  server: string;
  transport: Transport;
  clock: Clock;
  /** Milliseconds. */
  timeout: number;
  signal?: AbortSignal | undefined;
}

/** Makes of what a server did a sentence about its start. */
export type Failed = (what: string) => ProxyError;

/**
 * Runs a handshake within its time. What has been started is left to the caller.
 * @param method the request whose answer is waited for
 * @throws {ProxyError} SERVER_UNAVAILABLE saying what the server did instead
 */
export async function within<T>(
  { server, transport, clock, timeout, signal }: HandshakeOptions,
  method: string,
  handshake: (failed: Failed) => Promise<T>,
): Promise<T> {
  const failed: Failed = (what) =>
    new ProxyError(
      'SERVER_UNAVAILABLE',
      `Server "${server}" could not be started: ${what}.${transport.diagnosis()}`,
    );
  let cancel = () => {};
  const late = new Promise<never>((_, reject) => {
    const text = `it did not answer ${method} within ${formatDuration(timeout)} (timeouts.start)`;
    cancel = clock.after(timeout, () => reject(failed(text)));
    const unwanted = () => reject(failed('it is not wanted any more'));
    if (signal?.aborted) unwanted();
    signal?.addEventListener('abort', unwanted, { once: true });
  });
  try {
    return await Promise.race([late, handshake(failed)]);
  } finally {
    cancel();
  }
}
