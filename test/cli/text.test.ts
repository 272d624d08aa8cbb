import { expect, test } from 'vitest';
import { answered } from '../../src/cli/sessions/text.js';
import { oneLine, table } from '../../src/cli/table.js';
import { formatSize, fromNow, parseSeconds, parseTime } from '../../src/cli/units.js';

const NOW = Date.UTC(2026, 0, 1);
const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString();

test.each([
  [0, 'now'],
  [-0.9, 'now'],
  [1, 'in 1s'],
  [59, 'in 59s'],
  [1799, 'in 29m'],
  [-185, '3m ago'],
  [3600, 'in 1h'],
  [3900, 'in 1h 5m'],
  [-90_000, '1d 1h ago'],
  [604_800, 'in 7d'],
])('a time %s seconds from now is told as "%s"', (seconds, text) => {
  expect(fromNow(at(seconds), NOW)).toBe(text);
});

test('durations are seconds or have a unit; anything else is refused', () => {
  expect(['90', '1.5', '90s', '30m', '2h'].map(parseSeconds)).toEqual([90, 1.5, 90, 1800, 7200]);
  for (const text of ['', '-5', '10 minutes', '1e9', 'NaN']) {
    expect(() => parseSeconds(text)).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }));
  }
});

test('times are ISO, or durations before now', () => {
  expect(parseTime('2026-01-01T00:00:00Z')).toBe(NOW);
  expect(parseTime('10m')).toBeLessThanOrEqual(Date.now() - 600_000);
  expect(() => parseTime('2026-99-99')).toThrow(expect.objectContaining({ code: 'INVALID_PARAMS' }));
});

test('a table is aligned, ends its lines without blanks and keeps each row on one line', () => {
  const rows = [
    ['A', 'LONG HEADING', 'C'],
    ['one\ntwo', '\u001b[2Jx', ''],
  ];
  expect(table(rows)).toBe('A        LONG HEADING  C\none two   [2Jx');
  expect(oneLine('abcdef', 4)).toBe('abc…');
});

test('of a tool result texts are printed as they are, of all else what it is and how large', () => {
  const png = Buffer.alloc(2048).toString('base64');
  const content = [
    { type: 'text', text: 'two\nlines' },
    { type: 'image', mimeType: 'image/png', data: png },
    { type: 'resource', resource: { uri: 'memo://a', text: 'memo' } },
    { type: 'resource', resource: { uri: 'memo://b', blob: png } },
    { type: 'resource_link', uri: 'memo://c' },
  ];
  expect(answered({ content })).toBe(
    'two\nlines\n[image image/png, 2.0 KiB]\nmemo\n[resource memo://b, 2.0 KiB]\n[link memo://c]',
  );
  expect(answered({ content: [], structuredContent: { n: 1 } })).toBe('{\n  "n": 1\n}');
  expect(formatSize(5 * 1024 ** 2)).toBe('5.0 MiB');
});
