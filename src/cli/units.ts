import { duration } from '../config/units.js';
import { ProxyError } from '../errors.js';

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const;

/** A time for people, seen from now: `in 29m`, `in 1h 5m`, `3m ago`. */
export function fromNow(iso: string, now = Date.now()): string {
  const ms = Date.parse(iso) - now;
  const first = UNITS.findIndex(([, length]) => Math.abs(ms) >= length);
  if (first < 0) return 'now';
  let rest = Math.abs(ms);
  // A second unit where it may matter: not seconds beside minutes.
  const amounts = UNITS.slice(first, first < 2 ? first + 2 : first + 1).flatMap(([unit, length]) => {
    const amount = Math.floor(rest / length);
    rest -= amount * length;
    return amount === 0 ? [] : `${amount}${unit}`;
  });
  return ms > 0 ? `in ${amounts.join(' ')}` : `${amounts.join(' ')} ago`;
}

/** Seconds of `90`, `90s`, `30m`. @throws {ProxyError} INVALID_PARAMS */
export function parseSeconds(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const parsed = duration().safeParse(text);
  if (parsed.success) return parsed.data / 1000;
  throw new ProxyError(
    'INVALID_PARAMS',
    `"${text}" is no duration. Write seconds, or a unit as in 90s or 30m.`,
  );
}

/** Milliseconds since the epoch of an ISO time, or of a duration before now. @throws {ProxyError} INVALID_PARAMS */
export function parseTime(text: string): number {
  const time = Date.parse(text);
  return /^\d{4}-/.test(text) && !Number.isNaN(time) ? time : Date.now() - parseSeconds(text) * 1000;
}

/** @throws {ProxyError} INVALID_PARAMS */
export function parseCount(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ProxyError('INVALID_PARAMS', `"${text}" is no whole number of 0 or more.`);
}

/** A size for people. */
export function formatSize(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 ** 2 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
