import { expect, test } from 'vitest';
import { isWorthKeeping, routingOf, type Routing } from '../../src/protocol/methods.js';

test.each<[string, Routing]>([
  ['tools/list', { by: 'each', list: 'tools', needs: 'tools' }],
  ['tools/call', { by: 'name', kind: 'tool' }],
  ['prompts/list', { by: 'each', list: 'prompts', needs: 'prompts' }],
  ['prompts/get', { by: 'name', kind: 'prompt' }],
  ['resources/list', { by: 'each', list: 'resources', needs: 'resources' }],
  ['resources/templates/list', { by: 'each', list: 'resourceTemplates', needs: 'resources' }],
  ['resources/read', { by: 'uri' }],
  ['resources/subscribe', { by: 'uri' }],
  ['resources/unsubscribe', { by: 'uri' }],
  ['completion/complete', { by: 'ref' }],
  ['logging/setLevel', { by: 'all', needs: 'logging' }],
  ['tasks/list', { by: 'each', list: 'tasks', needs: 'tasks' }],
  ['tasks/get', { by: 'task' }],
  ['tasks/result', { by: 'task' }],
  ['tasks/cancel', { by: 'task' }],
])('%s finds its server by what it names', (method, routing) => {
  expect(routingOf(method)).toEqual(routing);
});

test.each([
  ['future/method'],
  [''],
  ['Tools/Call'],
  ['toString'],
  ['constructor'],
  ['__proto__'],
  ['hasOwnProperty'],
])('the method %j is unknown here and passes all the same', (method) => {
  expect(routingOf(method)).toEqual({ by: 'any' });
});

test('answers are kept of what may have an effect or run long, and not of what is simply asked again', () => {
  const kept = [
    'tools/call',
    'prompts/get',
    'resources/read',
    'completion/complete',
    'tasks/result',
    'future/method',
  ];
  const asked = ['tools/list', 'prompts/list', 'resources/list', 'tasks/list', 'logging/setLevel'];
  expect(kept.filter((method) => !isWorthKeeping(method))).toEqual([]);
  expect(asked.filter(isWorthKeeping)).toEqual([]);
});
