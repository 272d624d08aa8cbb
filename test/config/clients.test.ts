import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { HintReader } from '../../src/upstream/hints.js';
import { TemporaryFolder } from '../support/proxy.js';

function hints(clients: unknown) {
  using folder = new TemporaryFolder();
  const config = { servers: { one: { command: 'x' } }, ...(clients === undefined ? {} : { clients }) };
  return loadConfig(folder.file('c.yaml', JSON.stringify(config)), {}).hints;
}

const kinds = (clients?: unknown) => [...new Set(hints(clients).map(({ client }) => client))];

test('the known clients come in the order of their file, the user’s own before them', () => {
  expect(kinds()).toEqual(['chatgpt', 'vscode', 'codex', 'opencode', 'openhands']);
  expect(kinds({ mine: { hints: [{ header: 'X-Chat' }] } })).toEqual([
    'mine',
    'chatgpt',
    'vscode',
    'codex',
    'opencode',
    'openhands',
  ]);
});

test('a known client is switched off, put first, or described anew under its name', () => {
  expect(kinds({ chatgpt: 'off', vscode: false })).toEqual(['codex', 'opencode', 'openhands']);
  expect(kinds({ openhands: 'on', codex: true })[0]).toBe('openhands');
  const own = hints({ chatgpt: { hints: [{ meta: ['a', 'b'] }, { header: 'X-Chat' }] } });
  expect(own.filter(({ client }) => client === 'chatgpt')).toEqual([
    { client: 'chatgpt', path: ['a', 'b'] },
    { client: 'chatgpt', path: [], header: 'x-chat' },
  ]);
});

test.each([
  [{ mine: { hints: [] } }, /clients\.mine/],
  [{ mine: { hints: [{}] } }, /clients\.mine/],
  [{ mine: { hints: [{ meta: 'a', header: 'b' }] } }, /clients\.mine/],
  [{ mine: 'perhaps' }, /clients\.mine: must be "off", "on"/],
  [{ 'a b': 'off' }, /clients\.a b: the name must be/],
])('%j is refused by name', (clients, message) => {
  expect(() => hints(clients)).toThrow(message);
});

test('the first hint that is there counts, in the order of the list', () => {
  const reader = new HintReader(hints(undefined));
  expect(reader.read({ _meta: { sessionID: 'o', 'openai/session': 'c' } })).toEqual({
    kind: 'chatgpt',
    value: 'c',
  });
  const own = new HintReader(hints({ opencode: 'on' }));
  expect(own.read({ _meta: { sessionID: 'o', 'openai/session': 'c' } })?.kind).toBe('opencode');
});

test('what is no text, empty, endless, broken JSON or inherited is no hint', () => {
  const reader = new HintReader(hints({ mine: { hints: [{ meta: ['a', 'constructor', 'name'] }] } }));
  for (const value of [null, true, [], {}, '', 'x'.repeat(600)]) {
    expect(reader.read({ _meta: { threadId: value } })).toBeUndefined();
  }
  for (const turn of [
    '{',
    '[]',
    'null',
    '{"session_id":7e999}',
    1,
    `{"session_id":"${'x'.repeat(20_000)}"}`,
  ]) {
    expect(reader.read({ _meta: { 'x-codex-turn-metadata': turn } })).toBeUndefined();
  }
  expect(reader.read({ _meta: { a: {} } })).toBeUndefined();
  expect(reader.read(undefined, { 'x-openhands-conversation-id': ['a', 'b'] })).toBeUndefined();
  expect(reader.read({ _meta: { threadId: 7 } })).toEqual({ kind: 'codex', value: '7' });
});
