import { McpError } from '@modelcontextprotocol/sdk/types.js';
import { PNG } from './media.mjs';

const RESOURCE_NOT_FOUND = -32002;

export const resources = [
  {
    uri: 'test://static-text',
    name: 'Static text',
    description: 'Always the same text',
    mimeType: 'text/plain',
  },
  { uri: 'test://static-binary', name: 'Static binary', description: 'A red pixel', mimeType: 'image/png' },
  { uri: 'test://watched-resource', name: 'Watched', description: 'To subscribe to', mimeType: 'text/plain' },
];

export const resourceTemplates = [
  {
    uriTemplate: 'test://template/{id}/data',
    name: 'Data by id',
    description: 'Says which id it was asked for',
    mimeType: 'application/json',
  },
];

/** @type {Record<string, { text: string } | { blob: string }>} */
const bodies = {
  'test://static-text': { text: 'This is the content of the static text resource.' },
  'test://static-binary': { blob: PNG },
  'test://watched-resource': { text: 'Nothing has changed yet.' },
};

/** @param {string} uri */
export function readResource(uri) {
  const resource = resources.find((candidate) => candidate.uri === uri);
  if (resource) return { contents: [{ uri, mimeType: resource.mimeType, ...bodies[uri] }] };

  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id === undefined) throw new McpError(RESOURCE_NOT_FOUND, 'Resource not found', { uri });
  const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  return { contents: [{ uri, mimeType: 'application/json', text }] };
}
