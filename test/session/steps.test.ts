import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.js';
import type { Step } from '../../src/config/recovery.js';
import type { Fields } from '../../src/protocol/messages.js';
import { runSteps } from '../../src/session/steps.js';

/** Steps as a config file would give them. */
function steps(calls: Fields[]): Step[] {
  const { servers } = configSchema.parse({ servers: { one: { command: 'x', restore: { calls } } } });
  return servers?.one?.restore?.calls ?? [];
}

/** Runs them against a server that answers with these texts, and tells what it was asked. */
async function run(calls: Fields[], values: Fields, answer: Fields = {}) {
  const made: [string, Fields][] = [];
  const { captured } = await runSteps(steps(calls), values, (tool, args) => {
    made.push([tool, args]);
    return Promise.resolve(answer);
  });
  return { made, captured };
}

test('a lone placeholder keeps its type, one among text becomes text', async () => {
  const values = { capture: { at: 2, tabs: ['a', 'b'] }, session: { dir: '/s' } };
  const args = {
    index: '${capture.at}',
    all: '${capture.tabs}',
    text: '${session.dir}/${capture.at}',
    deep: [{ x: '${capture.tabs.1}' }],
  };
  expect((await run([{ tool: 't', args }], values)).made).toEqual([
    ['t', { index: 2, all: ['a', 'b'], text: '/s/2', deep: [{ x: 'b' }] }],
  ]);
});

test('a step is made for each item of a list, after the first ones', async () => {
  const calls = [{ tool: 't', forEach: 'capture.tabs', skip: 1, args: { url: '${item}' } }];
  expect((await run(calls, { capture: { tabs: ['a', 'b', 'c'] } })).made).toEqual([
    ['t', { url: 'b' }],
    ['t', { url: 'c' }],
  ]);
  expect((await run(calls, { capture: {} })).made).toEqual([]);
});

test('a condition asks whether a value is there, and 0 is one', async () => {
  const calls = [
    { tool: 'zero', if: 'capture.zero' },
    { tool: 'none', if: 'capture.none' },
    { tool: 'not', unless: 'capture.zero' },
    { tool: 'file', ifFile: '/no/such/file' },
    { tool: 'unknown', ifFile: '${capture.none}/file' },
    { tool: 'here', ifFile: '${capture.here}' },
  ];
  const { made } = await run(calls, { capture: { zero: 0, here: process.execPath } });
  expect(made.map(([tool]) => tool)).toEqual(['zero', 'here']);
});

test('a placeholder without a value is told by its name', async () => {
  await expect(run([{ tool: 't', args: { a: '${capture.none}' } }], {})).rejects.toThrow(
    'The placeholder ${capture.none} has no value here.',
  );
  await expect(run([{ tool: 't', args: { a: '${capture.constructor}' } }], { capture: {} })).rejects.toThrow(
    'has no value',
  );
});

test('values are taken out of text by patterns, and out of the result by path', async () => {
  const answer = {
    content: [{ type: 'text', text: '# Tabs\n- 0: a\n- 1: (current) -\n# Others\n- 7: z' }],
    structuredContent: { rows: [{ id: 1 }, { id: 2 }] },
  };
  const capture = {
    tabs: {
      within: '^# Tabs\n((?:- .*\n)*)',
      regex: '^- \\d+: (?:\\(current\\) -|(.*))$',
      all: true,
      default: 'blank',
    },
    current: { regex: '^- (\\d+): \\(current\\)', as: 'number' },
    whole: { regex: '- 7: z' },
    none: { regex: 'nowhere' },
    ids: { path: 'structuredContent.rows.*.id' },
    second: { path: 'structuredContent.rows.1.id' },
  };
  expect((await run([{ tool: 't', capture }], {}, answer)).captured).toEqual({
    tabs: ['a', 'blank'],
    current: 1,
    whole: '- 7: z',
    none: undefined,
    ids: [1, 2],
    second: 2,
  });
});
