import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { CLI, local, TemporaryFolder } from '../support/proxy.js';

function check(servers: Record<string, unknown>) {
  using folder = new TemporaryFolder();
  const file = folder.file('mcp-proxy.yaml', JSON.stringify({ servers }));
  const { status, stdout } = spawnSync(process.execPath, [CLI, 'check', '--json', '--config', file], {
    encoding: 'utf8',
  });
  return {
    status,
    ...(JSON.parse(stdout) as { warnings: string[]; servers: { tools: string[]; preset?: string }[] }),
  };
}

test('check warns of names that are too long for some clients, and a prefix and a new name mend them', () => {
  const long = 's'.repeat(58);
  const before = check({ [long]: local('counter'), other: local('counter') });
  expect(before.status).toBe(0);
  expect(before.warnings).toEqual(
    ['increment', 'get', 'pid', 'echo', 'sleep'].map(
      (tool) =>
        `${long}__${tool} has ${60 + tool.length} characters; some clients take 60. ` +
        `Shorten it with servers.${long}.tools.prefix or .rename.`,
    ),
  );
  const tools = { prefix: 's_', rename: { increment: 'add' } };
  const after = check({ [long]: local('counter', { tools }), other: local('counter') });
  expect(after.warnings).toEqual([]);
  expect(after.servers[0]?.tools).toEqual(['s_add', 's_get', 's_pid', 's_echo', 's_sleep']);
});

test('check warns of more tools than some clients take', () => {
  const many = Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`s${at}`, local('counter')]));
  expect(check(many).warnings).toEqual([
    'There are 85 tools; some clients take 80. Leave some out with servers.NAME.tools.include or .exclude.',
  ]);
});

test('check shows the preset a server starts from', () => {
  const { servers } = check({
    known: local('counter', { preset: 'playwright' }),
    plain: local('counter'),
    off: local('counter', { preset: 'none' }, ['@playwright/mcp']),
  });
  expect(servers.map(({ preset }) => preset)).toEqual(['playwright', undefined, 'none']);
});
