import { expect, test } from 'vitest';
import { LineSplitter } from '../../src/protocol/lines.js';

type Read = string | { head: string; tail: string; length: number };

/** What a splitter reads from chunks fed one after the other. */
function read(chunks: readonly Buffer[], limit = 1000): Read[] {
  const found: Read[] = [];
  const lines = new LineSplitter(limit, {
    line: (line) => found.push(line.toString('utf8')),
    tooLong: (head, tail, length) =>
      found.push({ head: head.toString('latin1'), tail: tail.toString('latin1'), length }),
  });
  for (const chunk of chunks) lines.push(chunk);
  return found;
}

/** The bytes cut before each of these positions. */
function cut(bytes: Buffer, ...positions: number[]): Buffer[] {
  const edges = [0, ...positions, bytes.length];
  return edges.slice(1).map((end, index) => bytes.subarray(edges[index], end));
}

test('any two cuts of the bytes give the same lines, also inside a character', () => {
  const text = '{"a":"ä€😀"}\n\n{"b":"x\\n"}\r\n\u2028\nend\n';
  const bytes = Buffer.from(text);
  const whole = ['{"a":"ä€😀"}', '{"b":"x\\n"}\r', '\u2028', 'end'];
  for (let one = 0; one <= bytes.length; one++)
    for (let two = one; two <= bytes.length; two++) expect(read(cut(bytes, one, two))).toEqual(whole);
});

test('any two cuts of the bytes give the same lines where some are too long', () => {
  const bytes = Buffer.from('0123456789\n012345678901\nshort\n01234567890123456789\n');
  const whole: Read[] = [
    '0123456789',
    { head: '012345678901', tail: '012345678901', length: 12 },
    'short',
    { head: '01234567890123456789', tail: '01234567890123456789', length: 20 },
  ];
  for (let one = 0; one <= bytes.length; one++) {
    for (let two = one; two <= bytes.length; two++) {
      const lines = read(cut(bytes, one, two), 10);
      // How much of the head is kept depends on the cuts; that it is a beginning of the line does not.
      const comparable = lines.map((line, index) => {
        const expected = whole[index];
        if (typeof line === 'string' || typeof expected !== 'object') return line;
        return expected.head.startsWith(line.head) && line.head.length > 10
          ? { ...line, head: expected.head }
          : line;
      });
      expect(comparable).toEqual(whole);
    }
  }
});

test('byte by byte gives the same lines as one chunk', () => {
  const bytes = Buffer.from('one\ntwo\n\nthree\n');
  expect(read([...bytes].map((byte) => Buffer.from([byte])))).toEqual(['one', 'two', 'three']);
  expect(read([bytes])).toEqual(['one', 'two', 'three']);
});

test('a line is told when its newline is there and not before', () => {
  expect(read([Buffer.from('{"torn":')])).toEqual([]);
  expect(read([Buffer.from('{"torn":'), Buffer.from('1}')])).toEqual([]);
  expect(read([Buffer.from('{"torn":'), Buffer.from('1}\n')])).toEqual(['{"torn":1}']);
});

test('a carriage return stays in the line, where it is white space of the JSON', () => {
  const [line] = read([Buffer.from('{"jsonrpc":"2.0"}\r\n')]);
  expect(line).toBe('{"jsonrpc":"2.0"}\r');
  expect(JSON.parse(line as string)).toEqual({ jsonrpc: '2.0' });
});

test('empty lines are passed over', () => {
  expect(read([Buffer.from('\n\n\na\n\n\nb\n')])).toEqual(['a', 'b']);
});

test('a line of exactly the limit is told, one byte more is too long', () => {
  expect(read([Buffer.from('x'.repeat(10) + '\n')], 10)).toEqual(['x'.repeat(10)]);
  expect(read([Buffer.from('x'.repeat(11) + '\n')], 10)).toEqual([
    { head: 'x'.repeat(11), tail: 'x'.repeat(11), length: 11 },
  ]);
});

test('of a line that is too long the first and last KiB and the whole length are told, and the next goes on', () => {
  const long = `{"id":7,${'x'.repeat(5000)},"jsonrpc":"2.0"}`;
  const chunks = cut(Buffer.from(`${long}\nnext\n`), 100, 1500, 1501, 4000);
  expect(read(chunks, 1200)).toEqual([
    { head: long.slice(0, 1024), tail: long.slice(-1024), length: long.length },
    'next',
  ]);
});

test('what is kept of a line without end stays small, however much comes', () => {
  const lengths: number[] = [];
  const lines = new LineSplitter(64 * 1024, {
    line: () => {},
    tooLong: (head, tail, length) => lengths.push(head.length, tail.length, length),
  });
  const chunk = Buffer.alloc(64 * 1024, 'x');
  for (let i = 0; i < 1000; i++) lines.push(chunk);
  lines.push(Buffer.from('\n'));
  expect(lengths).toEqual([1024, 1024, 1000 * chunk.length]);
});
