import { expect, test } from 'vitest';
import { mergeDescriptions } from '../../src/catalog/describe.js';
import { VERSION } from '../../src/version.js';

const serverInfo = { name: 'mcp-session-proxy', version: VERSION };

test('one server describes itself, but for the revision, which is the client’s', () => {
  const description = {
    protocolVersion: '2024-11-05',
    capabilities: { tools: {}, experimental: { x: { y: 1 } } },
    serverInfo: { name: 'one', version: '3', icons: [] },
    instructions: 'Do this.',
    _meta: { a: 1 },
  };
  const { protocolVersion, ...rest } = description;
  expect(mergeDescriptions([description])).toEqual(rest);
  expect(protocolVersion).toBe('2024-11-05');
});

test('a server that nobody knows yet is presumed to offer what can be asked for in vain', () => {
  expect(mergeDescriptions([undefined])).toEqual({
    capabilities: {
      tools: { listChanged: true },
      resources: { subscribe: true, listChanged: true },
      prompts: { listChanged: true },
      logging: {},
      completions: {},
    },
    serverInfo,
  });
});

test('several servers offer whatever one of them offers', () => {
  expect(
    mergeDescriptions([
      { capabilities: { tools: { listChanged: false }, resources: {} } },
      { capabilities: { tools: { listChanged: true }, logging: {}, resources: { subscribe: true } } },
      { capabilities: { tools: {}, experimental: { a: {} } } },
    ]),
  ).toEqual({
    capabilities: {
      tools: { listChanged: true },
      resources: { subscribe: true },
      logging: {},
      experimental: { a: {} },
    },
    serverInfo,
  });
});

test('instructions of several servers stand one below the other', () => {
  const texts = ['First.', undefined, 5, 'Second.'].map((instructions) => ({
    capabilities: {},
    instructions,
  }));
  expect(mergeDescriptions(texts)).toEqual({
    capabilities: {},
    serverInfo,
    instructions: 'First.\n\nSecond.',
  });
});

test('several servers without instructions have none, and nonsense counts for nothing', () => {
  expect(mergeDescriptions([{ capabilities: 'x' }, {}])).toEqual({ capabilities: {}, serverInfo });
});

test('no server’s own description is changed by being joined', () => {
  const one = { capabilities: { tools: {} } };
  mergeDescriptions([one, { capabilities: { tools: { listChanged: true } } }]);
  expect(one).toEqual({ capabilities: { tools: {} } });
});
