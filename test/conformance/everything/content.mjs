import { PNG } from './media.mjs';

/** @import { CallToolResult, EmbeddedResource, ImageContent } from '@modelcontextprotocol/sdk/types.js' */

/** @type {ImageContent} */
export const image = { type: 'image', data: PNG, mimeType: 'image/png' };

/**
 * @param {string} value
 * @returns {CallToolResult}
 */
export function text(value) {
  return { content: [{ type: 'text', text: value }] };
}

/**
 * @param {string} uri
 * @param {string} mimeType
 * @param {string} body
 * @returns {EmbeddedResource}
 */
export function embed(uri, mimeType, body) {
  return { type: 'resource', resource: { uri, mimeType, text: body } };
}
