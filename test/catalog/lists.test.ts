import { expect, test } from 'vitest';
import { Catalog } from '../../src/catalog/catalog.js';
import { serverConfigs } from '../support/servers.js';

const RETENTION = 604_800_000;
const single = () =>
  new Catalog(serverConfigs({ one: { tools: { include: ['c*'], exclude: ['*_x'] } } }), RETENTION);
const several = () =>
  new Catalog(serverConfigs({ one: { tools: { exclude: ['hidden'] } }, two: {} }), RETENTION);

test('tools are shown under their server’s name, with every field they have', () => {
  const tool = {
    name: 'click',
    title: 'Click',
    inputSchema: { type: 'object', properties: { x: {} } },
    annotations: { readOnlyHint: false },
    future: [1],
  };
  expect(several().expose('two', 'tools/list', { tools: [tool], nextCursor: 'c', _meta: { a: 1 } })).toEqual({
    tools: [{ ...tool, name: 'two__click' }],
    nextCursor: 'c',
    _meta: { a: 1 },
  });
});

test('tools that the config does not offer are not shown', () => {
  const tools = ['click', 'close', 'open', 'click_x'].map((name) => ({ name }));
  expect(single().expose('one', 'tools/list', { tools })).toEqual({
    tools: [{ name: 'click' }, { name: 'close' }],
  });
});

test('prompts are shown under their server’s name, resources and templates as they are', () => {
  const catalog = several();
  expect(catalog.expose('two', 'prompts/list', { prompts: [{ name: 'review', arguments: [] }] })).toEqual({
    prompts: [{ name: 'two__review', arguments: [] }],
  });
  const resources = [{ uri: 'file:///a', name: 'a', annotations: { priority: 1 } }];
  expect(catalog.expose('two', 'resources/list', { resources })).toEqual({ resources });
  const resourceTemplates = [{ uriTemplate: 'db://{t}', name: 'db' }];
  expect(catalog.expose('two', 'resources/templates/list', { resourceTemplates })).toEqual({
    resourceTemplates,
  });
});

test('what is no list passes untouched, and what is no item is left out', () => {
  const catalog = several();
  const result = { content: [{ type: 'text', text: 'x' }], structuredContent: { a: 1 } };
  expect(catalog.expose('one', 'tools/call', result)).toBe(result);
  expect(catalog.expose('one', 'future/method', result)).toBe(result);
  expect(catalog.expose('one', 'tools/list', { tools: 'none' })).toEqual({ tools: 'none' });
  expect(catalog.expose('one', 'tools/list', { tools: [null, 'x', { name: 'a' }] })).toEqual({
    tools: [{ name: 'one__a' }],
  });
});

test('several servers’ lists become one in the order of the config', () => {
  const catalog = several();
  expect(
    catalog.merge('tools', [
      { tools: [{ name: 'one__a' }, { name: 'one__b' }], nextCursor: 'gone', _meta: { a: 1 } },
      {},
      { tools: [{ name: 'two__a' }] },
    ]),
  ).toEqual({ tools: [{ name: 'one__a' }, { name: 'one__b' }, { name: 'two__a' }] });
  expect(catalog.merge('tools', [])).toEqual({ tools: [] });
});

test('of two resources with one URI the first is listed, the one that can be read', () => {
  const resources = (name: string) => ({ resources: [{ uri: 'file:///a', name }, { uri: `own:${name}` }] });
  expect(several().merge('resources', [resources('one'), resources('two')])).toEqual({
    resources: [{ uri: 'file:///a', name: 'one' }, { uri: 'own:one' }, { uri: 'own:two' }],
  });
});

test('a tool is known as read-only once its server has listed it as such', () => {
  const catalog = several();
  expect(catalog.isReadOnly('one', 'get')).toBeUndefined();
  catalog.expose('one', 'tools/list', {
    tools: [
      { name: 'get', annotations: { readOnlyHint: true } },
      { name: 'set', annotations: { readOnlyHint: false } },
      { name: 'say', annotations: { readOnlyHint: 'true' } },
      { name: 'bare' },
      { name: 'hidden', annotations: { readOnlyHint: true } },
    ],
  });
  const answers = ['get', 'set', 'say', 'bare', 'hidden', 'unlisted'].map((tool) =>
    catalog.isReadOnly('one', tool),
  );
  expect(answers).toEqual([true, false, false, false, true, false]);
  expect(catalog.isReadOnly('two', 'get')).toBeUndefined();
});

test('a later list takes back what an earlier one said', () => {
  const catalog = several();
  for (const readOnlyHint of [true, false])
    catalog.expose('one', 'tools/list', { tools: [{ name: 'get', annotations: { readOnlyHint } }] });
  expect(catalog.isReadOnly('one', 'get')).toBe(false);
});
