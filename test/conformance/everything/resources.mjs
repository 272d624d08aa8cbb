import { PNG } from './media.mjs';
import { Refusal } from './refusal.mjs';

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

/**
 * @param {string} uri
 * @param {number} notFound the code that the era has for a resource that is not there
 */
export function readResource(uri, notFound) {
  const resource = resources.find((candidate) => candidate.uri === uri);
  if (resource) return { contents: [{ uri, mimeType: resource.mimeType, ...bodies[uri] }] };

  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (id === undefined) throw new Refusal('Resource not found', notFound, { uri });
  const text = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  return { contents: [{ uri, mimeType: 'application/json', text }] };
}
