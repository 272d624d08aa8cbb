import { ProxyError, type ErrorObject } from '../errors.js';

/**
 * JSON-RPC 2.0 messages as plain objects. Only the envelope is looked at: whatever stands in `params`, `result`,
 * `_meta` or an error's `data` passes through untouched, so that methods nobody has heard of keep working.
 */

export type Id = string | number;
export type Fields = Record<string, unknown>;

export interface Request {
  jsonrpc: '2.0';
  id: Id;
  method: string;
  params?: Fields;
}

export interface Notification {
  jsonrpc: '2.0';
  method: string;
  params?: Fields;
}

/** How a request ended, without the id: what the middle passes on. */
export type Outcome = { result: Fields } | { error: ErrorObject };

export type Response = { jsonrpc: '2.0'; id: Id } & Outcome;

export type Message = Request | Notification | Response;

export function isRequest(message: Message): message is Request {
  return 'method' in message && 'id' in message;
}

export function isNotification(message: Message): message is Notification {
  return 'method' in message && !('id' in message);
}

export function isResponse(message: Message): message is Response {
  return !('method' in message);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * MCP, base protocol: the id MUST be a string or integer and MUST NOT be null. An integer beyond 2^53 cannot be
 * given back as it came, so it is refused rather than altered.
 */
export function isId(value: unknown): value is Id {
  return typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value));
}

/** A response without its envelope. */
export function outcomeOf(response: Response): Outcome {
  return 'result' in response ? { result: response.result } : { error: response.error };
}

/** An outcome as the response to the request of that id. */
export function toResponse(id: Id, outcome: Outcome): Response {
  return 'result' in outcome
    ? { jsonrpc: '2.0', id, result: outcome.result }
    : { jsonrpc: '2.0', id, error: outcome.error };
}

const ENVELOPE = new Set(['jsonrpc', 'id', 'method', 'params', 'result', 'error']);

/**
 * The message in a parsed JSON value.
 * @throws {ProxyError} INVALID_REQUEST naming the part of the envelope that is wrong
 */
export function toMessage(value: unknown): Message {
  if (!isFields(value)) throw invalid('a message must be a JSON object');
  if (value.jsonrpc !== '2.0') throw invalid('"jsonrpc" must be "2.0"');
  for (const key of Object.keys(value)) {
    // A key that differs by case alone is read by one parser and ignored by the next: never let it pass.
    if (!ENVELOPE.has(key) && ENVELOPE.has(key.toLowerCase())) throw invalid(`unknown key "${key}"`);
  }
  if (isDeeperThan(value, MAX_DEPTH)) throw invalid(`it is nested deeper than ${MAX_DEPTH} levels`);
  if ('id' in value && !isId(value.id)) {
    // JSON-RPC: an error for a request whose id could not be read has a null id. It answers nobody: let it go.
    const answersNobody = value.id === null && 'error' in value;
    if (!answersNobody) throw invalid('"id" must be a string or an integer below 2^53');
  }
  if ('method' in value) {
    if (typeof value.method !== 'string') throw invalid('"method" must be a string');
    if (value.params !== undefined && !isFields(value.params)) throw invalid('"params" must be an object');
    if ('result' in value || 'error' in value) throw invalid('a request has neither "result" nor "error"');
    return value as unknown as Request | Notification;
  }
  if (!('id' in value)) throw invalid('neither "method" nor "id" is there');
  if ('result' in value === 'error' in value) throw invalid('a response has either "result" or "error"');
  if ('result' in value && !isFields(value.result)) throw invalid('"result" must be an object');
  if ('error' in value && !isErrorObject(value.error))
    throw invalid('"error" must have "code" and "message"');
  return value as unknown as Response;
}

/** What is nested deeper overflows the stack of whoever walks it: us, or the next one. */
const MAX_DEPTH = 256;

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const item of Array.isArray(value) ? value : Object.values(value)) {
    if (isDeeperThan(item, levels - 1)) return true;
  }
  return false;
}

function isErrorObject(value: unknown): value is ErrorObject {
  return isFields(value) && typeof value.code === 'number' && typeof value.message === 'string';
}

function invalid(what: string): ProxyError {
  return new ProxyError('INVALID_REQUEST', `Invalid JSON-RPC message: ${what}.`);
}

/** The `_meta` of a params or result object, when it is one. */
export function metaOf(holder: Fields | undefined): Fields | undefined {
  const meta = holder?._meta;
  return isFields(meta) ? meta : undefined;
}

/** `holder` with `fields` laid over its `_meta`; the original stays as it is. */
export function withMeta(holder: Fields, fields: Fields): Fields {
  return { ...holder, _meta: { ...metaOf(holder), ...fields } };
}

/** The token under which the sender of a request wants to hear of its progress. */
export function progressTokenOf(params: Fields | undefined): Id | undefined {
  const token = metaOf(params)?.progressToken;
  return isId(token) ? token : undefined;
}
