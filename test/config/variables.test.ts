import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { fillVariables } from '../../src/config/variables.js';
import { redact } from '../../src/secrets.js';
import { TemporaryFolder } from '../support/proxy.js';

test.each<[string, Record<string, string>, string]>([
  ['${A}', { A: 'x' }, 'x'],
  ['a-${A}-${B}-z', { A: '1', B: '2' }, 'a-1-2-z'],
  ['${A:-other}', {}, 'other'],
  ['${A:-other}', { A: '' }, 'other'],
  ['${A:-}', {}, ''],
  ['${A}', { A: '' }, ''],
  ['${A:-http://x:1/y?z}', {}, 'http://x:1/y?z'],
  ['$${A}', { A: 'x' }, '${A}'],
  ['$${session.id}', {}, '$${session.id}'],
  ['$${A:-b}', {}, '${A:-b}'],
  ['$A $ $$ {A} ${} ${1a} ${a-b}', { A: 'x' }, '$A $ $$ {A} ${} ${1a} ${a-b}'],
  ['${session.dir}/${session.id}/${session.name}', {}, '${session.dir}/${session.id}/${session.name}'],
  ['${A}', { A: '${B} $& $1' }, '${B} $& $1'],
  ['${_x1}', { _x1: 'y' }, 'y'],
])('%s with %j becomes %j', (text, env, filled) => {
  expect(fillVariables({ deep: [{ text }] }, env)).toMatchObject({
    value: { deep: [{ text: filled }] },
    missing: [],
  });
});

test('whatever is no text stays as it is, and so do keys', () => {
  const value = { number: 1, yes: true, none: null, list: [1, [2]], '${A}': 'x' };
  expect(fillVariables(value, { A: 'y' }).value).toEqual(value);
});

test('a variable that is not set is told with the place that asks for it', () => {
  expect(fillVariables({ servers: { one: { args: ['a', '${GONE}'] } } }, {}).missing).toEqual([
    { path: ['servers', 'one', 'args', '1'], name: 'GONE' },
  ]);
});

test('the value of a variable with a telling name is a secret wherever it stands', () => {
  const env = { GITHUB_TOKEN: 'ghp_1', DB_PASSWORD: 'pw', api_key: 'k', HOME: '/root', SESSION_COOKIE: 'c' };
  const text = '${GITHUB_TOKEN} ${DB_PASSWORD} ${api_key} ${HOME} ${SESSION_COOKIE}';
  expect(fillVariables({ servers: { one: { args: [text] } } }, env).secrets).toEqual([
    'ghp_1',
    'pw',
    'k',
    'c',
  ]);
});

test('whatever stands in env and headers may be a secret, also when it is written out', () => {
  const { secrets } = fillVariables(
    {
      env: { API_KEY: 'written-out' },
      headers: { Authorization: 'Bearer abc.def', Accept: 'text/html' },
      args: { API_KEY: 'no place of secrets' },
    },
    {},
  );
  expect(new Set(secrets)).toEqual(new Set(['written-out', 'Bearer abc.def', 'abc.def', 'text/html']));
});

test('a plain word that is written out in env under a plain name hides nothing in the logs', () => {
  const written = (env: Record<string, string>) => fillVariables({ env }, { MODE: 'production' }).secrets;
  expect(written({ NODE_ENV: 'production', LOG_LEVEL: 'debug', PORT: '8080', TZ: 'UTC' })).toEqual([]);
  expect(written({ DB_PASSWORD: 'production' })).toContain('production');
  expect(written({ NODE_ENV: '${MODE}' })).toContain('production');
  expect(written({ OPAQUE: 'qwertyuiopasdf' })).toContain('qwertyuiopasdf');
  expect(written({ OPAQUE: 'a1b2c3' })).toContain('a1b2c3');
});

test('after loading a config its secrets are in no text that is logged', () => {
  using folder = new TemporaryFolder();
  const file = folder.file(
    'mcp-proxy.yaml',
    `servers:
  local: { command: x, args: ["--token=\${LOAD_TEST_TOKEN}"], env: { OTHER_SECRET: 'quote"and\\slash' } }
  remote: { url: http://x, headers: { Authorization: Bearer remote-bearer-value } }`,
  );
  loadConfig(file, { LOAD_TEST_TOKEN: 'token-of-the-load-test' });
  const text = `--token=token-of-the-load-test remote-bearer-value ${JSON.stringify('quote"and\\slash')} rest`;
  expect(redact(text)).toBe('--token=[redacted] [redacted] "[redacted]" rest');
  expect(redact('Authorization: Bearer remote-bearer-value')).toBe('Authorization: [redacted]');
});

test('values too short to be secrets are left in the text, for they would blot out ordinary words', () => {
  using folder = new TemporaryFolder();
  loadConfig(folder.file('c.yaml', 'servers: { one: { command: x, env: { API_KEY: short } } }'), {});
  expect(redact('a short message')).toBe('a short message');
});

test('a secret of a config that is refused is redacted as well', () => {
  using folder = new TemporaryFolder();
  const file = folder.file(
    'c.yaml',
    'servers: { one: { command: x, env: { A_TOKEN: refused-value }, bad: 1 } }',
  );
  expect(() => loadConfig(file, {})).toThrow(/unknown key/);
  expect(redact('refused-value')).toBe('[redacted]');
});
