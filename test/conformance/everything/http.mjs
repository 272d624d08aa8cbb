// The Streamable HTTP door: a server and a transport for each session, loopback callers only.

import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { randomUUID } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import { EventLog } from './event-log.mjs';

/**
 * @import { Server } from '@modelcontextprotocol/sdk/server/index.js'
 * @import { IncomingHttpHeaders, ServerResponse } from 'node:http'
 * @import { AddressInfo } from 'node:net'
 */

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
const RETRY_MS = 100;

/**
 * @param {number} port
 * @param {() => Server} createServer
 * @returns {Promise<number>} the port it listens on
 */
export async function serveHttp(port, createServer) {
  /** @type {Map<string, StreamableHTTPServerTransport>} */
  const sessions = new Map();

  /** Until its `initialize` has come, a new transport refuses everything else by itself. */
  async function newSession() {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new EventLog(),
      retryInterval: RETRY_MS,
      onsessioninitialized: (id) => void sessions.set(id, transport),
      onsessionclosed: (id) => void sessions.delete(id),
    });
    await createServer().connect(transport);
    return transport;
  }

  const http = createHttpServer(async (request, response) => {
    if (!isLoopback(request.headers))
      return refuse(response, 403, -32000, 'Only loopback callers are served');
    if (request.url !== '/mcp') return refuse(response, 404, -32000, 'The endpoint is /mcp');
    const id = request.headers['mcp-session-id'];
    const transport = id === undefined ? await newSession() : sessions.get(String(id));
    if (!transport) return refuse(response, 404, -32001, 'Session not found');
    await transport.handleRequest(request, response);
  });

  await new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, '127.0.0.1', () => resolve(undefined));
  });
  return /** @type {AddressInfo} */ (http.address()).port;
}

/**
 * A page of another site that points its own name at 127.0.0.1 still shows that name in these headers.
 *
 * @param {IncomingHttpHeaders} headers
 */
function isLoopback({ host, origin }) {
  return [`http://${host}`, origin ?? 'http://localhost'].every(
    (url) => URL.canParse(url) && LOOPBACK.has(new URL(url).hostname),
  );
}

/**
 * @param {ServerResponse} response
 * @param {number} status
 * @param {number} code
 * @param {string} message
 */
function refuse(response, status, code, message) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}
