import { expect, test } from 'vitest';
import { toLegacyResult } from '../../src/protocol/translate.js';

test('an earlier client is not told that a result is complete, and is told of any other kind', () => {
  expect(toLegacyResult('tools/call', { resultType: 'complete', content: [] })).toEqual({ content: [] });
  expect(toLegacyResult('tools/call', { resultType: 'task', task: {} })).toEqual({
    resultType: 'task',
    task: {},
  });
});

test.each([[[1, 2]], ['text'], [5], [null]])('structured content %j is wrapped into an object', (content) => {
  expect(toLegacyResult('tools/call', { structuredContent: content })).toEqual({
    structuredContent: { result: content },
  });
});

test('structured content that is an object, or of another method, stays', () => {
  const result = { structuredContent: { a: 1 } };
  expect(toLegacyResult('tools/call', result)).toEqual(result);
  expect(toLegacyResult('prompts/get', { structuredContent: [1] })).toEqual({ structuredContent: [1] });
});

const listed = (tool: unknown) => {
  const { tools } = toLegacyResult('tools/list', { tools: [tool] });
  return Array.isArray(tools) ? (tools[0] as unknown) : undefined;
};

test('the schema of a wrapped result is wrapped likewise', () => {
  const outputSchema = { type: 'array', items: { type: 'number' } };
  expect(listed({ name: 'a', outputSchema })).toEqual({
    name: 'a',
    outputSchema: { type: 'object', properties: { result: outputSchema }, required: ['result'] },
  });
});

test.each([
  ['does not say its type', { anyOf: [{ type: 'array' }] }],
  ['has several types', { type: ['array', 'object'] }],
  ['points into itself', { type: 'array', items: { $ref: '#/$defs/a' } }],
  ['is no schema', true],
])('a schema that %s is left out', (_, outputSchema) => {
  expect(listed({ name: 'a', outputSchema })).toEqual({ name: 'a' });
});

test('a schema of an object stays, and so does a tool without one or what is no tool', () => {
  for (const tool of [{ name: 'a', outputSchema: { type: 'object' } }, { name: 'a' }, 'odd'])
    expect(listed(tool)).toEqual(tool);
});
