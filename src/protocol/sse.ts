/**
 * One server-sent event. `data` must be a JSON text on one line, `id` one of ours: neither can hold a line break, so
 * nothing a server sends can forge an event.
 */
export function sseEvent(id: string, data: string): string {
  return `id: ${id}\nevent: message\ndata: ${data}\n\n`;
}

/** A message that cannot be asked for again. */
export function sseMessage(data: string): string {
  return `event: message\ndata: ${data}\n\n`;
}

/** How soon a client is to come back for a broken stream, milliseconds; the SDK's own default is a second. */
const RETRY = 300;

/** 2025-11-25, transports: an event with an id and empty data primes the client to resume this stream. */
export function ssePriming(id: string): string {
  return `id: ${id}\nretry: ${RETRY}\ndata: \n\n`;
}

/** A comment: keeps the connection warm, is no message. */
export const SSE_HEARTBEAT = ': keep-alive\n\n';

export const SSE_HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  'X-Accel-Buffering': 'no',
} as const;
