import { expect, test } from 'vitest';
import {
  EventSplitter,
  SSE_HEADERS,
  SSE_HEARTBEAT,
  sseEvent,
  sseMessage,
  ssePriming,
} from '../../src/protocol/sse.js';

interface Event {
  type: string;
  data: string;
  lastEventId: string;
}

/** An event stream read as HTML, 9.2.6 "Interpreting an event stream" has it; `retry` is the last one told. */
function parse(stream: string): { events: Event[]; lastEventId: string; retry: number | undefined } {
  const events: Event[] = [];
  let [data, type, lastEventId] = ['', '', ''];
  let retry: number | undefined;
  // What follows the last line break is no line.
  for (const line of stream
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\r|\n/)
    .slice(0, -1)) {
    if (line === '') {
      if (data !== '') events.push({ type: type || 'message', data: data.slice(0, -1), lastEventId });
      [data, type] = ['', ''];
      continue;
    }
    const [, field = line, value = ''] = /^([^:]*): ?(.*)$/su.exec(line) ?? [];
    if (field === 'event') type = value;
    else if (field === 'data') data += `${value}\n`;
    else if (field === 'id' && !value.includes('\0')) lastEventId = value;
    else if (field === 'retry' && /^\d+$/.test(value)) retry = Number(value);
  }
  return { events, lastEventId, retry };
}

const nasty = [
  'plain',
  '',
  ' leading and trailing ',
  'line\nbreak',
  'line\r\nbreak',
  'lone\rreturn',
  '\n\nevent: message\ndata: forged\n\n',
  'id: 9\n\ndata: {}\n\n',
  ': comment',
  'colon: in: it',
  '\u2028 and \u2029 and \u0085',
  '\u0000 and \u001f',
  '\uFEFF byte order mark',
  'unpaired \ud800 surrogate',
  '😀'.repeat(1000),
  '"quotes" and \\backslashes\\',
];

test.each(nasty.map((text) => [JSON.stringify(text).slice(0, 40), text]))(
  'a parser reads the payload %s exactly as it was sent',
  (_, text) => {
    const data = JSON.stringify({ jsonrpc: '2.0', method: 'm', params: { text } });
    expect(parse(sseEvent('1a-2b', data)).events).toEqual([{ type: 'message', data, lastEventId: '1a-2b' }]);
    expect(parse(sseMessage(data)).events).toEqual([{ type: 'message', data, lastEventId: '' }]);
  },
);

test('all payloads one after the other come out in order, each with its own id', () => {
  const sent = nasty.map((text, index) => ({ data: JSON.stringify({ text }), lastEventId: `s-${index}` }));
  const stream = sent.map(({ lastEventId, data }) => SSE_HEARTBEAT + sseEvent(lastEventId, data)).join('');
  expect(parse(stream).events).toEqual(sent.map((event) => ({ type: 'message', ...event })));
});

test('a message that cannot be asked for again leaves the last event id alone', () => {
  expect(parse(sseEvent('a-1', '{}') + sseMessage('{}')).lastEventId).toBe('a-1');
});

test('a priming event names where to resume and how soon, and is no message', () => {
  // 2025-11-25, transports: an event with an id and an empty data field.
  expect(ssePriming('a-0')).toBe('id: a-0\nretry: 300\ndata: \n\n');
  const { events, lastEventId, retry } = parse(ssePriming('a-0'));
  expect({ lastEventId, retry }).toEqual({ lastEventId: 'a-0', retry: 300 });
  expect(events.map(({ data }) => data)).toEqual(['']);
});

test('a heartbeat is a comment', () => {
  expect(parse(SSE_HEARTBEAT)).toEqual({ events: [], lastEventId: '', retry: undefined });
});

test('the headers keep every cache and buffer on the way out of it', () => {
  expect(SSE_HEADERS).toEqual({
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache, no-transform',
    'X-Accel-Buffering': 'no',
  });
});

test('a reader is told the id of each event after its data, also of one without any', () => {
  const told: string[] = [];
  const events = new EventSplitter(1024, {
    data: (text) => told.push(text),
    id: (id) => told.push(`at ${id}`),
    tooLong: () => told.push('too long'),
  });
  const stream = `${ssePriming('1-0')}${SSE_HEARTBEAT}${sseEvent('1-1', '{}')}${sseMessage('[]')}id: 1-2\r\ndata: x\r\n\r\n`;
  for (const byte of Buffer.from(stream)) events.push(Buffer.from([byte]));
  expect(told).toEqual(['at 1-0', '{}', 'at 1-1', '[]', 'x', 'at 1-2']);
});
