import { expect, test } from 'vitest';
import { duration, formatDuration, size } from '../../src/config/units.js';

test.each<[string, number]>([
  ['0s', 0],
  ['250ms', 250],
  ['30s', 30_000],
  ['30m', 1_800_000],
  ['1.5h', 5_400_000],
  ['7d', 604_800_000],
  ['0.0004s', 0],
])('the duration %s is %i milliseconds', (text, ms) => {
  expect(duration().parse(text)).toBe(ms);
});

test.each<[string, number]>([
  ['0B', 0],
  ['512B', 512],
  ['64KiB', 65_536],
  ['1.5MiB', 1_572_864],
  ['2GiB', 2_147_483_648],
])('the size %s is %i bytes', (text, bytes) => {
  expect(size().parse(text)).toBe(bytes);
});

test.each([
  '',
  '30',
  's',
  '30 s',
  '30S',
  '30sec',
  '-1s',
  '+1s',
  '1e3s',
  '.5s',
  '1.s',
  '1,5h',
  ' 1s',
  '1s\n',
  'Infinity',
])('%j is no duration', (text) => {
  expect(duration().safeParse(text).error?.issues[0]?.message).toBe(
    'must be a number and a unit, like 30s, 30m, 12h or 7d',
  );
});

test.each(['', '4', '4MB', '4mib', '4 MiB', '-4MiB', '4M', '4TiB'])('%j is no size', (text) => {
  expect(size().safeParse(text).error?.issues[0]?.message).toBe(
    'must be a number and a unit, like 64KiB or 4MiB',
  );
});

test.each<[number, string]>([
  [0, '0ms'],
  [1, '1ms'],
  [999, '999ms'],
  [1000, '1s'],
  [1500, '1500ms'],
  [60_000, '1m'],
  [90_000, '90s'],
  [3_600_000, '1h'],
  [5_400_000, '90m'],
  [86_400_000, '1d'],
  [604_800_000, '7d'],
])('%i milliseconds are shown as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
  expect(duration().parse(text)).toBe(ms);
});
