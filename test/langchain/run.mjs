// Shows with LangChain.js that tools listed in a session's scope act in that session: every call of the adapter's tools
// opens an MCP session of its own, and all of them work on one counter.
//   npm ci --prefix test/langchain && node test/langchain/run.mjs
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MultiServerMCPClient } from '@langchain/mcp-adapters';
import { loadConfig, SessionProxy } from '../../dist/index.js';

const folder = mkdtempSync(join(tmpdir(), 'msp-langchain-'));
const file = join(folder, 'mcp-proxy.yaml');
const counter = fileURLToPath(new URL('../fixtures/counter.mjs', import.meta.url));
writeFileSync(
  file,
  JSON.stringify({
    store: './s.db',
    listen: { port: 0 },
    servers: { counter: { command: process.execPath, args: [counter] } },
  }),
);
const proxy = new SessionProxy({ config: loadConfig(file) });
try {
  const url = await proxy.listen();
  const tools = async (session) => {
    const client = new MultiServerMCPClient({
      mcpServers: { counter: { transport: 'http', url: `${url}/s/${session}` } },
    });
    return { client, increment: (await client.getTools()).find(({ name }) => name.endsWith('increment')) };
  };
  const counts = [];
  for (const session of ['alice', 'alice', 'bob', 'alice']) {
    const { client, increment } = await tools(session);
    const { text } = await increment.invoke({});
    counts.push(text);
    await client.close();
  }
  assert.deepEqual(counts, ['1', '2', '1', '3']);
  console.log('M16 M20 tools that LangChain lists at a session act in that session\n1 passed, 0 failed');
} finally {
  await proxy.stop();
  rmSync(folder, { recursive: true, force: true });
}
