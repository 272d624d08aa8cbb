import { expect, test } from 'vitest';
import type { LocalServerConfig } from '../../src/config/schema.js';
import { fillTemplates } from '../../src/downstream/template.js';
import { ProxyError } from '../../src/errors.js';
import { serverConfigs } from '../support/servers.js';

const variables = { 'session.dir': '/d', 'session.id': 'ses_1', 'session.name': 'work' };

function config(entry: Record<string, unknown>): LocalServerConfig {
  const [server] = serverConfigs({ one: entry });
  if (server?.kind !== 'local') throw new Error('no local server');
  return server;
}

const filled = (line: LocalServerConfig, values: Record<string, string>) =>
  fillTemplates('servers.one', line, values);

test('a placeholder with a second dollar in front stays as it is written', () => {
  const result = filled(config({ command: 'x', args: ['$${session.id} ${session.id}'] }), variables);
  expect(result.args).toEqual(['${session.id} ses_1']);
});

test('command, arguments, environment and folder are filled in', () => {
  const result = filled(
    config({
      command: '${session.dir}/run',
      args: ['--user-data-dir=${session.dir}/profile', '${session.id}-${session.name}', 'plain'],
      env: { HOME: '${session.dir}', PLAIN: 'x' },
      cwd: '${session.dir}/work',
    }),
    variables,
  );
  expect(result).toEqual({
    command: '/d/run',
    args: ['--user-data-dir=/d/profile', 'ses_1-work', 'plain'],
    env: { HOME: '/d', PLAIN: 'x' },
    cwd: '/d/work',
  });
});

test.each([
  '$session.dir',
  '{session.dir}',
  '${HOME}',
  '${Session.Dir}',
  '${session}',
  '${}',
  '$ {session.dir}',
])('%s is no placeholder and stays', (text) => {
  expect(filled(config({ args: [text] }), variables).args).toEqual([text]);
});

test('what is filled in is not looked at again', () => {
  const tricky = { ...variables, 'session.name': '${session.id} $& $1' };
  expect(filled(config({ args: ['${session.name}'] }), tricky).args).toEqual(['${session.id} $& $1']);
});

test('an unknown placeholder is refused with the known ones', () => {
  expect(() => filled(config({ args: ['${session.folder}'] }), variables)).toThrow(
    new ProxyError(
      'CONFIG_INVALID',
      'servers.one: unknown placeholder ${session.folder}. ' +
        'Known: ${session.dir}, ${session.id}, ${session.name}.',
    ),
  );
});

test('the config itself stays as it is, for the next session', () => {
  const before = config({ args: ['${session.id}'] });
  filled(before, variables);
  expect(before.args).toEqual(['${session.id}']);
});
