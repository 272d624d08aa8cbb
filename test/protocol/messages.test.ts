import { expect, test } from 'vitest';
import { ProxyError } from '../../src/errors.js';
import {
  isId,
  isNotification,
  isRequest,
  isResponse,
  metaOf,
  outcomeOf,
  progressTokenOf,
  toMessage,
  toResponse,
  withMeta,
  type Message,
} from '../../src/protocol/messages.js';

/** The code and sentence with which a value is refused; undefined where it is a message. */
function refusal(value: unknown): string | undefined {
  try {
    toMessage(value);
    return undefined;
  } catch (error) {
    if (!(error instanceof ProxyError)) throw error;
    return `${error.code} ${error.message}`;
  }
}

const request = { jsonrpc: '2.0', id: 1, method: 'm' };
const error = { code: -1, message: 'no' };

test.each<[string, unknown, string]>([
  ['null', null, 'a message must be a JSON object'],
  ['a string', '{}', 'a message must be a JSON object'],
  ['a number', 1, 'a message must be a JSON object'],
  ['true', true, 'a message must be a JSON object'],
  ['a batch', [request], 'a message must be a JSON object'],
  ['an empty object', {}, '"jsonrpc" must be "2.0"'],
  ['JSON-RPC 1.0', { ...request, jsonrpc: '1.0' }, '"jsonrpc" must be "2.0"'],
  ['a number as version', { ...request, jsonrpc: 2 }, '"jsonrpc" must be "2.0"'],
  ['a null id of a request', { ...request, id: null }, '"id" must be a string or an integer below 2^53'],
  ['a fractional id', { ...request, id: 1.5 }, '"id" must be a string or an integer below 2^53'],
  ['an id of 2^53', { ...request, id: 2 ** 53 }, '"id" must be a string or an integer below 2^53'],
  ['a boolean id', { ...request, id: false }, '"id" must be a string or an integer below 2^53'],
  ['an object as id', { ...request, id: {} }, '"id" must be a string or an integer below 2^53'],
  ['an array as id', { ...request, id: [1] }, '"id" must be a string or an integer below 2^53'],
  [
    'a null id of a result',
    { jsonrpc: '2.0', id: null, result: {} },
    '"id" must be a string or an integer below 2^53',
  ],
  ['a number as method', { jsonrpc: '2.0', id: 1, method: 5 }, '"method" must be a string'],
  ['a null method', { jsonrpc: '2.0', id: 1, method: null }, '"method" must be a string'],
  ['params in an array', { ...request, params: [1] }, '"params" must be an object'],
  ['null params', { ...request, params: null }, '"params" must be an object'],
  ['text as params', { ...request, params: 'x' }, '"params" must be an object'],
  ['a request with a result', { ...request, result: {} }, 'a request has neither "result" nor "error"'],
  ['a request with an error', { ...request, error }, 'a request has neither "result" nor "error"'],
  ['nothing but a version', { jsonrpc: '2.0' }, 'neither "method" nor "id" is there'],
  ['a result without id', { jsonrpc: '2.0', result: {} }, 'neither "method" nor "id" is there'],
  ['an id alone', { jsonrpc: '2.0', id: 1 }, 'a response has either "result" or "error"'],
  [
    'result and error',
    { jsonrpc: '2.0', id: 1, result: {}, error },
    'a response has either "result" or "error"',
  ],
  ['a text as result', { jsonrpc: '2.0', id: 1, result: 'ok' }, '"result" must be an object'],
  ['a null result', { jsonrpc: '2.0', id: 1, result: null }, '"result" must be an object'],
  ['an array as result', { jsonrpc: '2.0', id: 1, result: [] }, '"result" must be an object'],
  ['a text as error', { jsonrpc: '2.0', id: 1, error: 'no' }, '"error" must have "code" and "message"'],
  [
    'an error without code',
    { jsonrpc: '2.0', id: 1, error: { message: 'no' } },
    '"error" must have "code" and "message"',
  ],
  [
    'an error without message',
    { jsonrpc: '2.0', id: 1, error: { code: 1 } },
    '"error" must have "code" and "message"',
  ],
  ['a key in capitals', { ...request, METHOD: 'other' }, 'unknown key "METHOD"'],
  ['an Id beside the id', { ...request, Id: 2 }, 'unknown key "Id"'],
  ['Params for params', { ...request, Params: {} }, 'unknown key "Params"'],
  ['JSONRPC beside jsonrpc', { ...request, JsonRpc: '2.0' }, 'unknown key "JsonRpc"'],
])('refuses %s and says what is wrong', (_, value, sentence) => {
  expect(refusal(value)).toBe(`INVALID_REQUEST Invalid JSON-RPC message: ${sentence}.`);
});

test.each<[string, string, 'request' | 'notification' | 'response']>([
  ['a request with a number', '{"jsonrpc":"2.0","id":1,"method":"tools/call"}', 'request'],
  ['a request with id 0', '{"jsonrpc":"2.0","id":0,"method":"ping"}', 'request'],
  ['a request with a negative id', '{"jsonrpc":"2.0","id":-7,"method":"ping"}', 'request'],
  ['a request with the largest id', '{"jsonrpc":"2.0","id":9007199254740991,"method":"ping"}', 'request'],
  ['a request with text as id', '{"jsonrpc":"2.0","id":"1","method":"ping"}', 'request'],
  ['a request with an empty id', '{"jsonrpc":"2.0","id":"","method":"ping"}', 'request'],
  [
    'an unheard-of method',
    '{"jsonrpc":"2.0","id":1,"method":"future/thing","params":{"x":[1,{"y":null}]}}',
    'request',
  ],
  ['an unheard-of envelope key', '{"jsonrpc":"2.0","id":1,"method":"m","traceparent":"00-abc"}', 'request'],
  ['an empty method', '{"jsonrpc":"2.0","id":1,"method":""}', 'request'],
  [
    'a notification',
    '{"jsonrpc":"2.0","method":"notifications/x","params":{"_meta":{"a/b":1}}}',
    'notification',
  ],
  ['a result', '{"jsonrpc":"2.0","id":"x","result":{"content":[],"extra":{"deep":[1,2]}}}', 'response'],
  [
    'an error with data',
    '{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"m","data":[{"k":"v"}]}}',
    'response',
  ],
  [
    'an error that answers nobody',
    '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}',
    'response',
  ],
  [
    'an own __proto__ key',
    '{"jsonrpc":"2.0","id":1,"method":"m","params":{"__proto__":{"polluted":true}}}',
    'request',
  ],
  [
    'a __proto__ in the envelope',
    '{"jsonrpc":"2.0","id":1,"__proto__":{"method":"x"},"result":{}}',
    'response',
  ],
  [
    'a constructor key',
    '{"jsonrpc":"2.0","id":1,"method":"constructor","params":{"constructor":1}}',
    'request',
  ],
  [
    'case variants below the envelope',
    '{"jsonrpc":"2.0","id":1,"method":"m","params":{"Id":1,"METHOD":2}}',
    'request',
  ],
])('passes %s untouched', (_, text, kind) => {
  const message = toMessage(JSON.parse(text));
  expect(JSON.stringify(message)).toBe(text);
  const kinds = {
    request: isRequest(message),
    notification: isNotification(message),
    response: isResponse(message),
  };
  expect(Object.entries(kinds).filter(([, is]) => is)).toEqual([[kind, true]]);
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

test('an id is a string or a safe integer and nothing else', () => {
  const ids = ['', 'a', '1', 0, -1, 2 ** 53 - 1, -(2 ** 53) + 1];
  const others = [null, undefined, true, 1.5, NaN, Infinity, 2 ** 53, 1n, {}, [], Symbol.iterator];
  expect(ids.filter((id) => !isId(id))).toEqual([]);
  expect(others.filter((id) => isId(id))).toEqual([]);
});

test('an outcome becomes the response of another id and nothing else changes', () => {
  const result = { jsonrpc: '2.0' as const, id: 5, result: { a: 1 } };
  const failure = { jsonrpc: '2.0' as const, id: 5, error: { code: 1, message: 'm', data: { d: 1 } } };
  expect(toResponse('mine', outcomeOf(result))).toEqual({ jsonrpc: '2.0', id: 'mine', result: { a: 1 } });
  expect(toResponse('mine', outcomeOf(failure))).toEqual({ ...failure, id: 'mine' });
});

test('_meta is laid over, the original and an own __proto__ stay as they are', () => {
  const holder = JSON.parse('{"a":1,"__proto__":{"x":1},"_meta":{"kept":1,"token":1}}') as Record<
    string,
    unknown
  >;
  const before = JSON.stringify(holder);
  const laid = withMeta(holder, { token: 2, more: 3 });
  expect(JSON.stringify(laid)).toBe('{"a":1,"__proto__":{"x":1},"_meta":{"kept":1,"token":2,"more":3}}');
  expect(JSON.stringify(holder)).toBe(before);
  expect(withMeta({ _meta: 'no object' }, { a: 1 })).toEqual({ _meta: { a: 1 } });
});

test('a progress token is read where it is an id, and _meta where it is an object', () => {
  expect(progressTokenOf({ _meta: { progressToken: 0 } })).toBe(0);
  expect(progressTokenOf({ _meta: { progressToken: '' } })).toBe('');
  for (const progressToken of [null, 1.5, {}, [], true]) {
    expect(progressTokenOf({ _meta: { progressToken } })).toBeUndefined();
  }
  expect(progressTokenOf(undefined)).toBeUndefined();
  expect([metaOf(undefined), metaOf({}), metaOf({ _meta: [] }), metaOf({ _meta: null })]).toEqual(
    Array(4).fill(undefined),
  );
});

test('a message is the very object that was parsed, so nothing of it is copied', () => {
  const value: unknown = { jsonrpc: '2.0', id: 1, result: {} };
  const message: Message = toMessage(value);
  expect(message).toBe(value);
});
