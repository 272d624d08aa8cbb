import type { IncomingMessage } from 'node:http';
import { expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.js';
import { ProxyError } from '../../src/errors.js';
import { checkCaller, isLoopback } from '../../src/upstream/guard.js';

const { listen } = configSchema.parse({});
const trusting = {
  ...listen,
  allowedHosts: ['mcp.example.com', 'UPPER.example', '[2001:db8::1]', '192.168.1.5'],
  allowedOrigins: ['https://app.example.com', 'http://intranet:8080', 'chrome-extension://abcdef'],
};

/** The code and message of a refusal; undefined where the caller is let in. */
function refusal(rawHeaders: string[], config = listen): string | undefined {
  try {
    checkCaller({ rawHeaders, headers: joined(rawHeaders) } as IncomingMessage, config);
    return undefined;
  } catch (error) {
    if (error instanceof ProxyError) return `${error.status} ${error.code} ${error.message}`;
    throw error;
  }
}

/** As Node joins repeated headers. */
function joined(rawHeaders: string[]): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = [rawHeaders[i]?.toLowerCase(), rawHeaders[i + 1]];
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}

const hostRefused = (host: string) =>
  `403 FORBIDDEN_HOST The Host "${host}" is not allowed here. ` +
  'Use localhost or 127.0.0.1, or add it to listen.allowedHosts.';
const originRefused = (origin: string) =>
  `403 FORBIDDEN_ORIGIN The Origin "${origin}" is not allowed here. ` +
  'Add it to listen.allowedOrigins if its pages may use your servers.';

test.each([
  'localhost',
  'localhost:8808',
  'LOCALHOST',
  'LocalHost:1',
  '127.0.0.1',
  '127.0.0.1:65535',
  '[::1]',
  '[::1]:8808',
])('the Host %s is this machine', (host) => {
  expect(refusal(['Host', host])).toBeUndefined();
});

test.each([
  '',
  ' ',
  'evil.example',
  'evil.example:8808',
  'localhost.evil.example',
  'evil.example.localhost',
  'localhost.',
  'localhost.:8808',
  '127.0.0.1.',
  '127.0.0.1.nip.io',
  '127.0.0.2',
  '127.1',
  '2130706433',
  '0x7f000001',
  '0177.0.0.1',
  '0.0.0.0',
  '0.0.0.0:8808',
  '[::]',
  '::1',
  '::1:8808',
  '[::1',
  '[::1].evil.example',
  '[0:0:0:0:0:0:0:1]',
  '[::ffff:127.0.0.1]',
  '[::1%25lo]',
  'user@localhost',
  'localhost@evil.example',
  'user:localhost@evil.example',
  'localhost:8808@evil.example',
  'localhost:',
  'localhost:port',
  'localhost:8808:8808',
  'localhost:999999',
  'localhost/',
  'localhost\\evil.example',
  'localhost?evil.example',
  'localhost#evil.example',
  'http://localhost',
  'localhost, evil.example',
  'localhost evil.example',
  'ｌocalhost',
  'localhost%2e',
  '*',
  '.localhost',
  'local_host',
])('the Host %j is refused, and said to be', (host) => {
  expect(refusal(['Host', host])).toBe(hostRefused(host));
});

test('a request without Host is refused', () => {
  expect(refusal([])).toBe(hostRefused(''));
  expect(refusal(['Origin', 'http://localhost'])).toBe(hostRefused(''));
});

test.each([
  ['Host', 'localhost', 'Host', 'evil.example'],
  ['Host', 'localhost', 'host', 'localhost'],
  ['HOST', 'localhost', 'X-Other', 'x', 'hOsT', 'localhost'],
])('two Host headers are refused, also where they agree: %j', (...headers) => {
  expect(refusal(headers)).toBe(hostRefused('localhost'));
});

test('a header’s name counts in any case, and only as a whole', () => {
  expect(refusal(['hOST', 'localhost'])).toBeUndefined();
  expect(refusal(['X-Forwarded-Host', 'localhost'])).toBe(hostRefused(''));
  expect(refusal(['Host', 'localhost', 'X-Forwarded-Host', 'evil.example'])).toBeUndefined();
  // A value that reads like a name is no header.
  expect(refusal(['Host', 'localhost', 'X-A', 'Origin', 'X-B', 'http://evil.example'])).toBeUndefined();
});

test.each([
  'mcp.example.com',
  'mcp.example.com:443',
  'MCP.Example.com',
  'upper.example',
  '[2001:db8::1]:80',
  '[2001:DB8::1]',
  '192.168.1.5:8808',
  'localhost',
])('the Host %s is allowed by the config', (host) => {
  expect(refusal(['Host', host], trusting)).toBeUndefined();
});

test.each([
  'example.com',
  'a.mcp.example.com',
  'mcp.example.com.',
  'mcp.example.com.evil.example',
  'mcpxexample.com',
])('the Host %s is not the allowed one', (host) => {
  expect(refusal(['Host', host], trusting)).toBe(hostRefused(host));
});

const from = (...origins: string[]) => [
  'Host',
  'localhost',
  ...origins.flatMap((origin) => ['Origin', origin]),
];

test.each([
  'http://localhost',
  'http://localhost:3000',
  'https://localhost',
  'http://127.0.0.1:8808',
  'http://[::1]:8808',
  'https://[::1]',
])('a page from %s may call', (origin) => {
  expect(refusal(from(origin))).toBeUndefined();
});

test.each([
  '',
  'null',
  'NULL',
  'undefined',
  'http://evil.example',
  'https://evil.example:8808',
  'http://localhost.evil.example',
  'http://evil.example/localhost',
  'http://localhost@evil.example',
  'http://user@localhost',
  'http://localhost/',
  'http://localhost/page',
  'http://localhost?x',
  'http://localhost.',
  'http://127.0.0.1.nip.io',
  'http://0.0.0.0',
  'http://[::]',
  'http://2130706433',
  'http://',
  'http:localhost',
  '//localhost',
  'localhost',
  'ftp://localhost',
  'file://',
  'ws://localhost',
  'chrome-extension://abcdef',
  'moz-extension://localhost',
  'http://localhost http://evil.example',
  'http://localhost,http://evil.example',
  'http://localhost:3000:4000',
  'https://app.example.com',
])('a page from %j may not call, and is told', (origin) => {
  expect(refusal(from(origin))).toBe(originRefused(origin));
});

test('two Origin headers are refused, also where both may call', () => {
  expect(refusal(from('http://localhost', 'http://evil.example'))).toBe(originRefused('http://localhost'));
  expect(refusal(from('http://localhost', 'http://localhost'))).toBe(originRefused('http://localhost'));
  const app = 'https://app.example.com';
  expect(refusal(from(app, app), trusting)).toBe(originRefused(app));
});

test.each([
  'https://app.example.com',
  'http://intranet:8080',
  'chrome-extension://abcdef',
  'http://localhost:1',
])('a page from %s may call by the config', (origin) => {
  expect(refusal(from(origin), trusting)).toBeUndefined();
});

test.each([
  'http://app.example.com',
  'https://app.example.com:8443',
  'https://app.example.com/',
  'https://a.app.example.com',
  'https://app.example.com.evil.example',
  'http://intranet',
  'https://mcp.example.com',
  'null',
])('a page from %s is not the allowed one', (origin) => {
  expect(refusal(from(origin), trusting)).toBe(originRefused(origin));
});

test.each(['cross-site', 'same-site', 'none, cross-site', '', 'unheard-of'])(
  'a request without Origin whose browser says that it is %j is refused',
  (site) => {
    expect(refusal(['Host', 'localhost', 'Sec-Fetch-Site', site])).toBe(
      '403 FORBIDDEN_ORIGIN A page of another site sent this request. It is not allowed here.',
    );
  },
);

test.each(['same-origin', 'none'])('a request without Origin whose browser says %s is let in', (site) => {
  expect(refusal(['Host', 'localhost', 'Sec-Fetch-Site', site])).toBeUndefined();
});

test('a page that may call may do so from another site', () => {
  expect(
    refusal([...from('https://app.example.com'), 'Sec-Fetch-Site', 'cross-site'], trusting),
  ).toBeUndefined();
});

test('the Host is looked at before the Origin', () => {
  expect(refusal(['Host', 'evil.example', 'Origin', 'http://evil.example'])).toBe(
    hostRefused('evil.example'),
  );
});

test.each([
  ['localhost', true],
  ['127.0.0.1', true],
  ['127.8.9.10', true],
  ['::1', true],
  ['0.0.0.0', false],
  ['::', false],
  ['', false],
  ['192.168.1.5', false],
  ['127.0.0.1.evil.example', false],
  ['a127.0.0.1', false],
  ['localhost.evil.example', false],
])('only this machine reaches a listener on %j: %j', (host, loopback) => {
  expect(isLoopback(host)).toBe(loopback);
});
