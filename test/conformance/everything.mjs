// A server that offers everything the conformance suite asks a server of its era for.
//
//   node everything.mjs legacy|modern stdio
//   node everything.mjs legacy|modern http [PORT]     0, the default, takes any free port
//   node everything.mjs legacy sse [PORT]

import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { serveLegacy, serveModern, serveSse } from './everything/http.mjs';
import { createServer as createLegacyServer } from './everything/legacy.mjs';
import { createServer as createModernServer } from './everything/modern.mjs';

const [era, transport, port = '0'] = process.argv.slice(2);

/** @type {Record<string, Record<string, () => unknown>>} */
const eras = {
  legacy: {
    http: () => serveLegacy(Number(port)).then(tell),
    sse: () => serveSse(Number(port)).then(tell),
    stdio() {
      // The transport itself does not notice that its client has gone.
      process.stdin.once('end', () => process.exit(0));
      return createLegacyServer().connect(new StdioServerTransport());
    },
  },
  modern: {
    http: () => serveModern(Number(port)).then(tell),
    stdio: () => serveStdio(() => createModernServer(), { legacy: 'reject' }),
  },
};

const serve = eras[era]?.[transport];
if (serve) {
  await serve();
} else {
  console.error('usage: everything.mjs legacy|modern stdio | legacy|modern http [PORT] | legacy sse [PORT]');
  process.exit(2);
}

/** @param {number} port */
function tell(port) {
  console.log(`listening on http://127.0.0.1:${port}/mcp`);
}
