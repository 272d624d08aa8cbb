import { expect, test } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.js';
import { ProxyError } from '../../src/errors.js';
import type { Fields } from '../../src/protocol/messages.js';
import { serverConfigs } from '../support/servers.js';

const RETENTION = 604_800_000;
const single = () => new Catalog(serverConfigs({ one: { tools: { exclude: ['hidden'] } } }), RETENTION);
const several = () =>
  new Catalog(serverConfigs({ one: { tools: { exclude: ['hidden'] } }, two: {} }), RETENTION);

function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof ProxyError) return `${error.code} ${error.message}`;
    throw error;
  }
  throw new Error('it was routed');
}

test.each<[string, Fields]>([
  ['tools/list', { to: 'each', needs: 'tools', list: 'tools' }],
  ['prompts/list', { to: 'each', needs: 'prompts', list: 'prompts' }],
  ['resources/list', { to: 'each', needs: 'resources', list: 'resources' }],
  ['resources/templates/list', { to: 'each', needs: 'resources', list: 'resourceTemplates' }],
  ['tasks/list', { to: 'each', needs: 'tasks', list: 'tasks' }],
  ['logging/setLevel', { to: 'all', needs: 'logging' }],
])('%s goes to every server', (method, route) => {
  expect(single().route(method, {})).toEqual(route);
  expect(several().route(method, undefined)).toEqual(route);
});

test.each(['tools/call', 'prompts/get'])('%s goes to the server in the name, without that part', (method) => {
  const params = { name: 'two__click', arguments: { a: 1 }, _meta: { progressToken: 1 }, future: true };
  expect(several().route(method, params)).toEqual({
    to: 'one',
    server: 'two',
    params: { ...params, name: 'click' },
  });
  expect(params.name).toBe('two__click');
});

test('with one server a name goes there as it is', () => {
  expect(single().route('tools/call', { name: 'two__click' })).toEqual({
    to: 'one',
    server: 'one',
    params: { name: 'two__click' },
  });
});

test('an unknown tool is named, with the way to the known ones', () => {
  const text = 'No tool "click" is offered here. tools/list names those that are.';
  expect(failure(() => several().route('tools/call', { name: 'click' }))).toBe(`TOOL_NOT_FOUND ${text}`);
});

test('an excluded tool is answered exactly as an unknown one', () => {
  const text = (name: string) =>
    `TOOL_NOT_FOUND No tool "${name}" is offered here. tools/list names those that are.`;
  expect(failure(() => single().route('tools/call', { name: 'hidden' }))).toBe(text('hidden'));
  expect(failure(() => several().route('tools/call', { name: 'one__hidden' }))).toBe(text('one__hidden'));
  expect(several().route('tools/call', { name: 'two__hidden' })).toMatchObject({ server: 'two' });
});

test('a tool list says nothing about prompts', () => {
  expect(single().route('prompts/get', { name: 'hidden' })).toMatchObject({ to: 'one', server: 'one' });
  expect(failure(() => several().route('prompts/get', { name: 'x' }))).toBe(
    'NOT_FOUND No prompt "x" is offered here. prompts/list names those that are.',
  );
});

test.each([undefined, {}, { name: 5 }, { name: null }])(
  'a call with the params %j names no tool',
  (params) => {
    expect(failure(() => several().route('tools/call', params))).toMatch(/^TOOL_NOT_FOUND No tool "" /);
  },
);

test.each(['resources/read', 'resources/subscribe', 'resources/unsubscribe'])(
  '%s goes to the server that listed the resource',
  (method) => {
    const catalog = several();
    catalog.expose('two', 'resources/list', { resources: [{ uri: 'file:///a', name: 'a' }] });
    expect(catalog.route(method, { uri: 'file:///a' })).toEqual({
      to: 'one',
      server: 'two',
      params: { uri: 'file:///a' },
    });
    expect(catalog.route(method, { uri: 'file:///b' })).toEqual({ to: 'first' });
    expect(catalog.route(method, { uri: 5 })).toEqual({ to: 'first' });
    expect(single().route(method, { uri: 'anything' })).toMatchObject({ to: 'one', server: 'one' });
  },
);

test('a resource that two servers list stays with the first', () => {
  const catalog = several();
  for (const server of ['one', 'two'])
    catalog.expose(server, 'resources/list', { resources: [{ uri: 'file:///a', name: 'a' }] });
  expect(catalog.route('resources/read', { uri: 'file:///a' })).toMatchObject({ server: 'one' });
});

test('a resource of a template goes to the server whose template begins like it for longest', () => {
  const catalog = several();
  catalog.expose('one', 'resources/templates/list', { resourceTemplates: [{ uriTemplate: 'db://{table}' }] });
  catalog.expose('two', 'resources/templates/list', {
    resourceTemplates: [{ uriTemplate: 'db://users/{id}' }, { uriTemplate: '{+anything}' }],
  });
  const server = (uri: string) => catalog.route('resources/read', { uri });
  expect(server('db://orders')).toMatchObject({ server: 'one' });
  expect(server('db://users/7')).toMatchObject({ server: 'two' });
  expect(server('file:///x')).toEqual({ to: 'first' });
});

test('a completion goes where its prompt or resource is, under the server’s own name', () => {
  const catalog = several();
  catalog.expose('two', 'resources/list', { resources: [{ uri: 'file:///a', name: 'a' }] });
  const argument = { name: 'language', value: 'py' };
  const prompt = { type: 'ref/prompt', name: 'two__review', title: 't' };
  expect(catalog.route('completion/complete', { ref: prompt, argument })).toEqual({
    to: 'one',
    server: 'two',
    params: { ref: { ...prompt, name: 'review' }, argument },
  });
  const resource = { type: 'ref/resource', uri: 'file:///a' };
  expect(catalog.route('completion/complete', { ref: resource, argument })).toEqual({
    to: 'one',
    server: 'two',
    params: { ref: resource, argument },
  });
  for (const ref of [undefined, 'x', { name: 'nowhere' }, { uri: 'file:///b' }])
    expect(catalog.route('completion/complete', { ref })).toEqual({ to: 'first' });
});

test.each(['tasks/get', 'tasks/result', 'tasks/cancel'])(
  '%s goes to the server that has the task',
  (method) => {
    const catalog = several();
    catalog.expose('two', 'tools/call', { task: { taskId: 'made', status: 'working' } });
    catalog.expose('one', 'tasks/list', { tasks: [{ taskId: 'listed' }] });
    expect(catalog.route(method, { taskId: 'made' })).toMatchObject({ to: 'one', server: 'two' });
    expect(catalog.route(method, { taskId: 'listed' })).toMatchObject({ to: 'one', server: 'one' });
    expect(catalog.route(method, { taskId: 'unknown' })).toEqual({ to: 'first' });
  },
);

test('a method that nobody has heard of goes to the one server, or to each in turn', () => {
  expect(single().route('future/method', { a: 1 })).toEqual({ to: 'one', server: 'one', params: { a: 1 } });
  expect(several().route('future/method', { a: 1 })).toEqual({ to: 'first' });
});

test('routes are learned up to a bound, beyond which the oldest are forgotten', () => {
  const catalog = several();
  const list = (from: number, count: number) =>
    catalog.expose('two', 'resources/list', {
      resources: Array.from({ length: count }, (_, index) => ({ uri: `x://${from + index}` })),
    });
  list(0, 10_000);
  expect(catalog.route('resources/read', { uri: 'x://0' })).toMatchObject({ server: 'two' });
  list(10_000, 1);
  expect(catalog.route('resources/read', { uri: 'x://0' })).toEqual({ to: 'first' });
  expect(catalog.route('resources/read', { uri: 'x://10000' })).toMatchObject({ server: 'two' });
});
