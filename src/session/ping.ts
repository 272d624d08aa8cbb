import type { ServerConfig } from '../config/schema.js';
import { messageOf } from '../errors.js';
import type { Session } from './session.js';

/** Whether a server of a session is there. */
export interface PingView {
  server: string;
  ok: boolean;
  /** How long it took to find out, with the start of a server that did not run, milliseconds. */
  ms: number;
  error?: string;
}

/** Starts the server unless it runs, and asks whether it is there. One that does not answer is stopped. */
export async function ping({ servers }: Session, config: ServerConfig): Promise<PingView> {
  const begun = performance.now();
  const said = (error?: string): PingView => ({
    server: config.name,
    ok: error === undefined,
    ms: Math.round(performance.now() - begun),
    ...(error === undefined ? {} : { error }),
  });
  try {
    if (await servers.ping(config)) return said();
    return said('It did not answer and was stopped: the next call starts it anew.');
  } catch (error) {
    return said(messageOf(error));
  }
}
