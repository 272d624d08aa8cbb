import { expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.js';
import { redact } from '../../src/secrets.js';
import { TemporaryFolder } from '../support/proxy.js';

function refusal(text: string): string {
  using folder = new TemporaryFolder();
  const file = folder.file('mcp-proxy.yaml', text);
  try {
    loadConfig(file, {});
  } catch (error) {
    if ((error as Error).name !== 'ProxyError') throw error;
    return redact((error as Error).message).replaceAll(file, 'FILE');
  }
  throw new Error('the config was taken');
}

test('C1 a pattern that YAML takes for an alias gets a message with line and mend', () => {
  const message = refusal('servers:\n  one:\n    command: x\n    tools: { exclude: [*_install] }\n');
  expect(message).toMatch(/^The config file FILE cannot be used: /);
  expect(message).toMatch(/_install/);
});

test('C1b aliases without end get a message', () => {
  const rows = ['a: &a [1,1,1,1,1,1,1,1,1]'];
  for (const [name, of] of ['ba', 'cb', 'dc', 'ed', 'fe'])
    rows.push(`${name}: &${name} [${Array(9).fill(`*${of}`).join()}]`);
  expect(refusal(rows.join('\n'))).toMatch(/^The config file FILE cannot be used: /);
});

test('C2 of the known keys the nearest is suggested', () => {
  const ok = 'servers: { one: { command: x } }\n';
  expect(refusal(`${ok}listen: { PORT: 1 }`)).toMatch(/Did you mean "port"\?$/);
  expect(refusal(`${ok}listen: { pat: /mcp }`)).toMatch(/Did you mean "path"\?$/);
});

test('C3 a port that is none is refused by the config', () => {
  expect(refusal('listen: { port: 99999 }\nservers: { one: { command: x } }')).toMatch(/: listen\.port: /);
});

test('C4 a secret of the wrong type is not shown', () => {
  expect(refusal('servers: { one: { command: x, env: { API_KEY: 123456789 } } }')).not.toContain('123456789');
});

test('a server whose name begins like the tools of another is refused', () => {
  expect(refusal('servers:\n  a: { command: x }\nmcpServers:\n  a__b: { command: y }\n')).toMatch(
    /mcpServers\.a__b: begins like the tools of "a", as clients see them: choose a name without __/,
  );
});

test('two tools of one name, or two servers of one prefix, are refused by name', () => {
  const renamed = (tools: string) =>
    `servers: { one: { command: x, tools: ${tools} }, two: { command: x, tools: { prefix: a_ } } }`;
  expect(refusal(renamed('{ rename: { a: c, b: c } }'))).toMatch(
    /servers\.one\.tools\.rename\.a: gives two tools the name "c"/,
  );
  expect(refusal(renamed('{ prefix: a_ }'))).toMatch(
    /servers\.two\.tools\.prefix: is that of server "one" as well/,
  );
  expect(refusal(renamed('{ prefix: "a b" }'))).toMatch(
    /servers\.one\.tools\.prefix: must be 1 to 64 letters/,
  );
});
