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
