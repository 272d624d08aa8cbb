import { expect, test } from 'vitest';
import { isOffered, Names } from '../../src/catalog/names.js';
import { serverConfigs } from '../support/servers.js';

const names = (...servers: string[]) =>
  new Names(serverConfigs(Object.fromEntries(servers.map((name) => [name, {}]))));

test('with one server nothing is renamed, whatever the name looks like', () => {
  const only = names('one');
  for (const name of ['click', 'one__click', 'other__click', '', '__']) {
    expect(only.exposed('one', name, 'tool')).toBe(name);
    expect(only.resolve(name, 'tool')).toEqual({ server: 'one', name });
  }
});

test('with several servers each name begins with its server’s and leads back to it', () => {
  const both = names('one', 'two');
  for (const server of ['one', 'two']) {
    for (const name of ['click', 'a__b', '__', '', 'one__click', 'näme']) {
      const exposed = both.exposed(server, name, 'tool') ?? '';
      expect(exposed).toBe(`${server}__${name}`);
      expect(both.resolve(exposed, 'tool')).toEqual({ server, name });
    }
  }
});

test.each(['click', 'three__click', 'one_click', 'One__click', '__click', ''])(
  'with several servers %j leads nowhere',
  (name) => {
    expect(names('one', 'two').resolve(name, 'tool')).toBeUndefined();
  },
);

const tools = (entries: Record<string, Record<string, unknown>>) =>
  new Names(
    serverConfigs(Object.fromEntries(Object.entries(entries).map(([name, own]) => [name, { tools: own }]))),
  );

test('where one prefix begins another, the longest wins in either order', () => {
  const [short, long] = [{ prefix: 'a_' }, { prefix: 'a_b_' }];
  for (const both of [tools({ one: short, two: long }), tools({ two: long, one: short })]) {
    expect(both.resolve('a_b_click', 'tool')).toEqual({ server: 'two', name: 'click' });
    expect(both.resolve('a_click', 'tool')).toEqual({ server: 'one', name: 'click' });
  }
});

test('a renamed tool is known by its new name alone, behind the prefix', () => {
  const renamed = tools({ one: { rename: { take_a_very_long_name: 'short' } }, two: {} });
  expect(renamed.exposed('one', 'take_a_very_long_name', 'tool')).toBe('one__short');
  expect(renamed.resolve('one__short', 'tool')).toEqual({ server: 'one', name: 'take_a_very_long_name' });
  expect(renamed.resolve('one__take_a_very_long_name', 'tool')).toBeUndefined();
  expect(renamed.exposed('one', 'short', 'prompt')).toBe('one__short');
});

test('a prefix stands in place of the server’s name, or nothing does; prompts keep theirs', () => {
  const both = tools({ one: { prefix: 'b_' }, two: { prefix: 'none' } });
  expect([both.exposed('one', 'click', 'tool'), both.exposed('two', 'click', 'tool')]).toEqual([
    'b_click',
    'click',
  ]);
  expect(both.resolve('b_click', 'tool')).toEqual({ server: 'one', name: 'click' });
  expect(both.resolve('click', 'tool')).toEqual({ server: 'two', name: 'click' });
  expect(both.exposed('two', 'click', 'prompt')).toBe('two__click');
  expect(tools({ only: { prefix: 'x-' } }).exposed('only', 'click', 'tool')).toBe('x-click');
});

test('a tool whose name another has taken is not offered', () => {
  const both = tools({ one: { prefix: 'b_' }, two: { prefix: 'none', rename: { a: 'c' } } });
  expect(both.exposed('two', 'b_click', 'tool')).toBeUndefined();
  expect(both.exposed('two', 'c', 'tool')).toBeUndefined();
  expect(both.exposed('two', 'a', 'tool')).toBe('c');
});

function offered(tools: Record<string, unknown>, tool: string): boolean {
  const [config] = serverConfigs({ one: { tools } });
  if (!config) throw new Error('no server');
  return isOffered(config, tool);
}

test.each<[string, string, boolean]>([
  ['click', 'click', true],
  ['click', 'clicks', false],
  ['click', 'Click', false],
  ['*', 'anything', true],
  ['*', '', true],
  ['**', 'anything', true],
  ['browser_*', 'browser_click', true],
  ['browser_*', 'browser_', true],
  ['browser_*', 'my_browser_click', false],
  ['*_click', 'browser_click', true],
  ['*_click', 'browser_click_twice', false],
  ['*click*', 'browser_click_twice', true],
  ['*click*', 'click', true],
  ['a*c', 'ac', true],
  ['a*c', 'abc', true],
  ['a*c', 'abcd', false],
  ['a*b*c', 'a-b-c', true],
  ['a*b*c', 'abc', true],
  ['a*b*c', 'acb', false],
  ['a*b*c', 'a-c', false],
  // What one star's neighbour has taken, the next cannot take again.
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['ab*bc', 'abc', false],
  ['ab*bc', 'abbc', true],
  ['a*ab*b', 'aabb', true],
  ['a*ab*b', 'aab', false],
  ['*ab*ab*', 'ab', false],
  ['*ab*ab*', 'abab', true],
  ['*a*a', 'a', false],
  ['a**b', 'ab', true],
  // Nothing but the star is special.
  ['a.c', 'abc', false],
  ['a?c', 'abc', false],
  ['[ab]', 'a', false],
  ['a+', 'aa', false],
  ['^a$', 'a', false],
  ['(a|b)*', '(a|b)x', true],
  ['a\\*', 'a\\x', true],
  ['', '', true],
  ['', 'a', false],
])('the pattern %j and the tool %j: %j', (pattern, tool, matches) => {
  expect(offered({ include: [pattern] }, tool)).toBe(matches);
  expect(offered({ exclude: [pattern] }, tool)).toBe(!matches);
});

test('without include all tools are offered, with an empty one none is', () => {
  expect(offered({}, 'click')).toBe(true);
  expect(offered({ include: [] }, 'click')).toBe(false);
});

test('what is both included and excluded is not offered', () => {
  const tools = { include: ['browser_*', 'close'], exclude: ['*_install', 'browser_run*'] };
  const all = ['browser_click', 'browser_install', 'browser_run_code', 'close', 'open'];
  expect(all.filter((tool) => offered(tools, tool))).toEqual(['browser_click', 'close']);
});

test('a pattern with many stars is decided at once', () => {
  expect(offered({ include: ['*a'.repeat(60) + 'b'] }, 'a'.repeat(5000))).toBe(false);
});
