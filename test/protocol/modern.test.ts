import { describe, expect, test } from 'vitest';
import { ENVELOPE } from '../../src/protocol/envelope.js';
import type { Fields } from '../../src/protocol/messages.js';
import {
  checkHeaders,
  checkParamHeaders,
  completed,
  decodeHeader,
  encodeHeader,
  envelopeOf,
  headersOf,
  headersOfParams,
  isLogged,
  isModern,
  paramHeadersOf,
} from '../../src/protocol/modern.js';

const META: Fields = {
  [ENVELOPE.protocolVersion]: '2026-07-28',
  [ENVELOPE.clientCapabilities]: {},
  [ENVELOPE.clientInfo]: { name: 'test', version: '1' },
};
const params = (more: Fields = {}, meta: Fields = {}): Fields => ({ ...more, _meta: { ...META, ...meta } });
const header = (headers: Record<string, string>) => (name: string) => headers[name];
const code = (job: () => unknown): unknown => {
  try {
    return job();
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

describe('a value in a header', () => {
  test.each([
    'plain',
    'with spaces inside',
    'tab\tinside',
    'ünïcode',
    ' at the edges ',
    'two\nlines',
    '',
    '日本語',
  ])('%j comes back as it was, over what HTTP lets through', (text) => {
    const sent = encodeHeader(text);
    expect(sent).toMatch(/^[\x20-\x7e\t]*$/);
    expect(sent).toBe(sent.trim());
    expect(decodeHeader(sent)).toBe(text);
  });

  test('what looks encoded is encoded once more, so that it is not taken for its content', () => {
    const text = '=?base64?aGVsbG8=?=';
    expect(encodeHeader(text)).not.toBe(text);
    expect(decodeHeader(encodeHeader(text))).toBe(text);
  });

  test.each(['=?base64?a?=', '=?base64?####?=', '=?base64?aGVsbG8?='])(
    '%s is broken and means nothing',
    (sent) => {
      expect(decodeHeader(sent)).toBeUndefined();
    },
  );
});

describe('the headers of a request', () => {
  const call = params({ name: 'caf\u00e9' });
  const sent = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': encodeHeader('caf\u00e9'),
  };

  test('are made so that they pass', () => {
    const made = Object.entries(headersOf('tools/call', call)).map(([name, value]) => [
      name.toLowerCase(),
      value,
    ]);
    expect(Object.fromEntries(made)).toEqual(sent);
    expect(() => checkHeaders(header(sent), 'tools/call', call)).not.toThrow();
  });

  test.each([
    ['another revision', { ...sent, 'mcp-protocol-version': '2025-11-25' }],
    ['another method', { ...sent, 'mcp-method': 'tools/list' }],
    ['another name', { ...sent, 'mcp-name': 'cafe' }],
    ['a broken name', { ...sent, 'mcp-name': '=?base64?#?=' }],
    ['no revision', { 'mcp-method': 'tools/call', 'mcp-name': sent['mcp-name'] }],
    ['no method', { 'mcp-protocol-version': '2026-07-28', 'mcp-name': sent['mcp-name'] }],
    ['no name', { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call' }],
  ])('with %s are refused', (_, headers: Record<string, string>) => {
    expect(code(() => checkHeaders(header(headers), 'tools/call', call))).toBe('HEADER_MISMATCH');
  });

  test('need no name where the method has none, or the body lacks it', () => {
    const { 'mcp-name': _, ...rest } = sent;
    const list = { ...rest, 'mcp-method': 'tools/list' };
    expect(() => checkHeaders(header(list), 'tools/list', params())).not.toThrow();
    expect(() => checkHeaders(header(rest), 'tools/call', params())).not.toThrow();
  });

  test('of a revision that is not known say that, rather than that they differ', () => {
    const other = params({}, { [ENVELOPE.protocolVersion]: '2099-01-01' });
    expect(
      code(() => checkHeaders(header({ 'mcp-protocol-version': '2099-01-01' }), 'tools/list', other)),
    ).toBe('UNSUPPORTED_VERSION');
  });
});

describe('arguments in headers', () => {
  const schema = {
    type: 'object',
    'x-mcp-header': 'Root',
    properties: {
      region: { type: 'string', 'x-mcp-header': 'Region' },
      where: { properties: { zone: { 'x-mcp-header': 'Zone' }, odd: { 'x-mcp-header': 'no token' } } },
      list: { items: { 'x-mcp-header': 'Item' } },
      plain: { type: 'string' },
    },
  };
  const declared = paramHeadersOf(schema);

  test('are those that the schema marks, however deep in properties, and not its root or items', () => {
    expect(declared).toEqual([
      { name: 'Region', path: ['region'] },
      { name: 'Zone', path: ['where', 'zone'] },
      { name: 'no token', path: ['where', 'odd'] },
    ]);
  });

  test('are sent for primitives alone, under names that are names of headers', () => {
    const args = { region: 'eu', where: { zone: 4.5, odd: 'x' } };
    expect(headersOfParams(declared, args)).toEqual({ 'Mcp-Param-Region': 'eu', 'Mcp-Param-Zone': '4.5' });
    expect(headersOfParams(declared, { region: null, where: { zone: { a: 1 } } })).toEqual({});
    expect(headersOfParams(declared, { region: true })).toEqual({ 'Mcp-Param-Region': 'true' });
  });

  test('are compared with the body, numbers as numbers', () => {
    const [region, zone] = declared;
    const of = (headers: Record<string, string>, args: Fields) =>
      code(() =>
        checkParamHeaders(
          header(headers),
          [region, zone].flatMap((one) => one ?? []),
          args,
        ),
      );
    expect(of({ 'mcp-param-region': 'eu' }, { region: 'eu' })).toBeUndefined();
    expect(of({ 'mcp-param-zone': '4.50' }, { where: { zone: 4.5 } })).toBeUndefined();
    expect(of({ 'mcp-param-region': 'us' }, { region: 'eu' })).toBe('HEADER_MISMATCH');
    expect(of({}, { region: 'eu' })).toBe('HEADER_MISMATCH');
    expect(of({}, {})).toBeUndefined();
  });

  test('that lie too deep are not looked for', () => {
    let deep: Fields = { 'x-mcp-header': 'Deep' };
    for (let i = 0; i < 40; i++) deep = { properties: { down: deep } };
    expect(paramHeadersOf(deep)).toEqual([]);
  });
});

describe('what a request says of its client', () => {
  test('is its era, capabilities, name and the log level it wants', () => {
    const { client, logLevel } = envelopeOf(params({}, { [ENVELOPE.logLevel]: 'warning' }));
    expect(client).toMatchObject({
      era: 'modern',
      clientInfo: { name: 'test' },
      capabilities: {},
    });
    expect(logLevel).toBe('warning');
  });

  test.each([
    [ENVELOPE.protocolVersion, 7],
    [ENVELOPE.clientCapabilities, undefined],
    [ENVELOPE.clientCapabilities, 'all'],
    [ENVELOPE.clientInfo, 'me'],
    [ENVELOPE.logLevel, 'loud'],
  ])('is refused by the key that is wrong: %s', (key, value) => {
    expect(() => envelopeOf(params({}, { [key]: value }))).toThrow(`params._meta["${key}"]`);
  });

  test('decides over the header, but for initialize, which begins what this revision has not', () => {
    expect(isModern({ jsonrpc: '2.0', method: 'tools/list', params: params() }, undefined)).toBe(true);
    expect(isModern({ jsonrpc: '2.0', method: 'tools/list' }, '2026-07-28')).toBe(true);
    expect(isModern({ jsonrpc: '2.0', method: 'tools/list' }, '2025-11-25')).toBe(false);
    expect(isModern({ jsonrpc: '2.0', method: 'initialize' }, '2026-07-28')).toBe(false);
  });

  test('asks for log messages from a level on, and for none without one', () => {
    expect(isLogged('error', 'warning')).toBe(true);
    expect(isLogged('info', 'warning')).toBe(false);
    expect(isLogged('emergency', undefined)).toBe(false);
  });
});

describe('a result', () => {
  const server = { name: 'old', version: '1' };

  test('of an earlier server says that it is complete, by whom, and how long a list may be kept', () => {
    expect(completed('tools/list', { tools: [] }, server)).toEqual({
      tools: [],
      resultType: 'complete',
      ttlMs: 0,
      cacheScope: 'private',
      _meta: { 'io.modelcontextprotocol/serverInfo': server },
    });
    expect(completed('tools/call', { content: [] }, server)).not.toHaveProperty('ttlMs');
  });

  test('that a server of this revision has completed stays as it is', () => {
    const own = {
      tools: [],
      resultType: 'complete',
      ttlMs: 60_000,
      cacheScope: 'public',
      _meta: { 'io.modelcontextprotocol/serverInfo': { name: 'new' } },
    };
    expect(completed('tools/list', own, server)).toEqual(own);
  });

  test('that asks for input is not kept', () => {
    const asking = { resultType: 'input_required', inputRequests: {} };
    expect(completed('resources/read', asking, undefined)).toEqual(asking);
  });
});
