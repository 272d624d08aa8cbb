// A stateful MCP server on bare Node, as cheap as can be: what the bench measures must be the thing in front of it.
// Every reply carries a call counter of this process, so a reply from somebody else's process is seen.

import { blobText } from './blob.mjs';

const OBJECT = { type: 'object' };
const TOOLS = [
  { name: 'echo', description: 'Returns the text and the number of this call', inputSchema: OBJECT },
  { name: 'blob', description: 'The same, with an image of `bytes` base64 characters', inputSchema: OBJECT },
];

let calls = 0;
const blobs = new Map();

/** The image as JSON text, made once for a size: serializing 5 MB a call would be this server's cost, not the relay's. */
function blob(bytes) {
  let json = blobs.get(bytes);
  if (json === undefined) {
    json = JSON.stringify({ type: 'image', mimeType: 'image/png', data: blobText(bytes) });
    blobs.set(bytes, json);
  }
  return json;
}

function call({ name, arguments: args }) {
  calls += 1;
  const text = JSON.stringify({ type: 'text', text: `${args.text} #${calls}` });
  return name === 'blob' ? `{"content":[${text},${blob(args.bytes)}]}` : `{"content":[${text}]}`;
}

const methods = {
  initialize: ({ protocolVersion }) =>
    JSON.stringify({
      protocolVersion,
      capabilities: { tools: {} },
      serverInfo: { name: 'bench-echo', version: '1.0.0' },
    }),
  ping: () => '{}',
  'tools/list': () => JSON.stringify({ tools: TOOLS }),
  'tools/call': call,
};

function answer(line) {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined || method === undefined) return;
  const outcome = methods[method]
    ? `"result":${methods[method](params)}`
    : `"error":{"code":-32601,"message":"Method not found"}`;
  process.stdout.write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},${outcome}}\n`);
}

let buffer = '';
process.stdin.setEncoding('utf8');
process.stdin.on('data', (chunk) => {
  buffer += chunk;
  for (let end; (end = buffer.indexOf('\n')) !== -1; buffer = buffer.slice(end + 1))
    answer(buffer.slice(0, end));
});
process.stdin.on('end', () => process.exit(0));
