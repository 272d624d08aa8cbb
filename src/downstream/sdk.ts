import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { Message } from '../protocol/messages.js';

/**
 * A message for one of the SDK's transports. Their type spells out fields of `_meta` that we pass on unread; the
 * transports themselves only serialise what they are given.
 */
export function toSdk(message: Message): JSONRPCMessage {
  return message as JSONRPCMessage;
}
