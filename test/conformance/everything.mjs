// A server that offers everything the conformance suite asks a 2025-11-25 server for.
//
//   node everything.mjs --stdio
//   node everything.mjs --http [PORT]     0, the default, takes any free port

import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { parseArgs } from 'node:util';
import { serveHttp } from './everything/http.mjs';
import { createServer } from './everything/server.mjs';

const { values, positionals } = parseArgs({
  options: { stdio: { type: 'boolean' }, http: { type: 'boolean' } },
  allowPositionals: true,
});

if (values.stdio) {
  // The transport itself does not notice that its client has gone.
  process.stdin.once('end', () => process.exit(0));
  await createServer().connect(new StdioServerTransport());
} else if (values.http) {
  const port = await serveHttp(Number(positionals[0] ?? 0), createServer);
  console.log(`listening on http://127.0.0.1:${port}/mcp`);
} else {
  console.error('usage: everything.mjs --stdio | --http [PORT]');
  process.exit(2);
}
