import { ProxyError } from '../errors.js';
import type { Session } from './session.js';
import { iso } from './view.js';

/** The track of summaries; the last one holds, those before stay. */
export const SUMMARY_TRACK = 'summary';

/** Bytes; what is longer is no summary. */
const LONGEST_SUMMARY = 32 * 1024;

/** What a session's history comes to, up to an event. The events themselves stay. */
export interface Summary {
  text: string;
  /** Number of the last event that it covers; 0 for none. */
  upTo: number;
  /** When it was written, ISO 8601. */
  at: string;
}

/** @returns undefined when there is none */
export function summaryOf({ history }: Session): Summary | undefined {
  const [last] = history.read({ last: 1, track: SUMMARY_TRACK });
  return last && { text: String(last.data.text), upTo: Number(last.data.upTo), at: iso(last.at) };
}

/**
 * A write that keeps a summary.
 * @param upTo number of the last event it covers; by default the last that was recorded
 * @throws {ProxyError} INVALID_PARAMS, STATE_TOO_LARGE
 */
export function summarize({ history }: Session, text: string, upTo = history.lastSeq()): () => void {
  const size = Buffer.byteLength(text);
  if (size > LONGEST_SUMMARY) {
    throw new ProxyError(
      'STATE_TOO_LARGE',
      `A summary has ${LONGEST_SUMMARY} bytes at most, and this one has ${size}. Make it shorter.`,
    );
  }
  const last = history.lastSeq();
  if (!Number.isInteger(upTo) || upTo < 0 || upTo > last) {
    throw new ProxyError('INVALID_PARAMS', `upTo must be the number of an event, 0 to ${last}, not ${upTo}.`);
  }
  return history.append('summary', { text, upTo }, SUMMARY_TRACK);
}
