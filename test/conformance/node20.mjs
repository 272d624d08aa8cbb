// Lets the conformance suite start on Node 20 (`node --import`): it imports `globSync` from `fs`, which came with
// Node 22, and calls it only for reports that we do not ask for. A newer Node beside this one is no way out, as a
// `node` in node_modules/.bin would run all npm scripts.
//
// This file is also the hook that it registers, so it is loaded once more in the thread of the hooks.

import * as fs from 'node:fs';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

const FS_WITH_GLOB = `data:text/javascript,${encodeURIComponent(`
  export * from 'node:fs';
  export { default } from 'node:fs';
  export function globSync() { throw new Error('globSync needs Node 22'); }
`)}`;

if (isMainThread && !('globSync' in fs)) register(import.meta.url);

/** @type {import('node:module').ResolveHook} */
export function resolve(specifier, context, next) {
  const fromSuite = context.parentURL?.includes('/@modelcontextprotocol/conformance/');
  return specifier === 'fs' && fromSuite
    ? { url: FS_WITH_GLOB, shortCircuit: true }
    : next(specifier, context);
}
