import { isFields, type Fields } from './messages.js';

/** 2026-07-28: what every request says of itself, by its key in `params._meta`. */
export const ENVELOPE = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  logLevel: 'io.modelcontextprotocol/logLevel',
} as const;

/** In `_meta` of whatever comes on the stream of a `subscriptions/listen`: the id of that request. */
export const SUBSCRIPTION_ID = 'io.modelcontextprotocol/subscriptionId';

/** In `_meta` of a result: who answered. */
export const SERVER_INFO = 'io.modelcontextprotocol/serverInfo';

const KEYS = new Set<string>(Object.values(ENVELOPE));

/** The params as a server without envelopes knows them. */
export function withoutEnvelope(params: Fields): Fields {
  const { _meta: meta, ...rest } = params;
  if (!isFields(meta)) return params;
  const own = Object.entries(meta).filter(([key]) => !KEYS.has(key));
  if (own.length === Object.keys(meta).length) return params;
  return own.length === 0 ? rest : { ...rest, _meta: Object.fromEntries(own) };
}

/** By this code a server says that headers and body of a request differ. */
export const HEADER_MISMATCH = -32020;
