import { expect, test } from 'vitest';
import { Handles } from '../../src/catalog/handles.js';
import { serverConfigs } from '../support/servers.js';

const handles = (mode: string) => new Handles(serverConfigs({ one: { handles: mode } }), 604_800_000);
const call = (args: Record<string, unknown>) => ({ name: 'x', arguments: args });
const tool = (...own: string[]) => ({
  name: 'x',
  inputSchema: { type: 'object', properties: Object.fromEntries(own.map((name) => [name, {}])) },
});

test.each([
  [[], 'session'],
  [['session'], 'mcp_session'],
  [['mcp_session', 'session'], 'mcp_session_handle'],
])('beside the arguments %j the handle is called %s', (own, argument) => {
  const one = handles('required');
  expect(one.expose('one', tool(...own))).toMatchObject({
    inputSchema: { properties: { [argument]: { type: 'string' } }, required: [argument] },
  });
  expect(one.read('one', 'x', call({}))).toEqual({ argument, value: undefined });
  expect(one.read('one', 'x', call({ [argument]: 'a' }))).toEqual({ argument, value: 'a' });
  expect(one.strip('one', 'x', call({ [argument]: 'a', b: 1 }))).toEqual(call({ b: 1 }));
});

test('before its list was seen a call tells itself which argument is the handle', () => {
  const one = handles('optional');
  expect(one.read('one', 'x', call({ session: 'own', mcp_session: 'a' }))?.value).toBe('a');
  expect(one.strip('one', 'x', call({ session: 'own', mcp_session: 'a' }))).toEqual(call({ session: 'own' }));
  expect(one.read('one', 'x', call({ session: 'a' }))?.value).toBe('a');
  expect(one.read('one', 'x', undefined)).toBeUndefined();
});

test('where handles are off a tool and its call are left as they are', () => {
  const one = handles('off');
  const given = tool('session');
  expect(one.expose('one', given)).toBe(given);
  expect(one.read('one', 'x', call({ session: 'own' }))).toBeUndefined();
  expect(one.strip('one', 'x', call({ session: 'own' }))).toEqual(call({ session: 'own' }));
});
