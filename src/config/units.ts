import { z } from 'zod';

/** Durations and sizes as people write them: `30m`, `1.5h`, `4MiB`. */

const MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/;
const SIZE = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)$/;

function quantity(pattern: RegExp, units: Readonly<Record<string, number>>, example: string) {
  return z
    .string(`must be text like ${example}`)
    .regex(pattern, `must be a number and a unit, like ${example}`)
    .transform((text) => {
      const [, amount = '0', unit = ''] = pattern.exec(text) ?? [];
      return Math.round(Number(amount) * (units[unit] ?? 0));
    });
}

/** In milliseconds after parsing. */
export const duration = () => quantity(DURATION, MS, '30s, 30m, 12h or 7d');

/** In bytes after parsing. */
export const size = () => quantity(SIZE, BYTES, '64KiB or 4MiB');

/** A duration in milliseconds for people: the largest unit that leaves a whole number. */
export function formatDuration(ms: number): string {
  const unit =
    ['d', 'h', 'm', 's'].find((name) => ms >= (MS[name] ?? 0) && ms % (MS[name] ?? 1) === 0) ?? 'ms';
  return `${ms / (MS[unit] ?? 1)}${unit}`;
}

/** Numbers may come out of a `${VARIABLE}`, and those are text. */
export const count = (least: number, most = Number.MAX_SAFE_INTEGER) => {
  const number = z.int().min(least).max(most);
  const bounds = most < Number.MAX_SAFE_INTEGER ? `from ${least} to ${most}` : `${least} or more`;
  return z.union([number, z.string().regex(/^\d+$/).transform(Number).pipe(number)], {
    error: `must be a whole number, ${bounds}`,
  });
};
