// The doors over HTTP of both eras.

import { toNodeHandler } from '@modelcontextprotocol/node';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { createMcpHandler } from '@modelcontextprotocol/server';
import { randomUUID } from 'node:crypto';
import { EventLog } from './event-log.mjs';
import { createServer as createLegacyServer } from './legacy.mjs';
import { listen, refuse } from './listen.mjs';
import { createServer as createModernServer } from './modern.mjs';

const RETRY_MS = 100;

/**
 * A server and a transport for each session.
 *
 * @param {number} port
 */
export function serveLegacy(port) {
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
    await createLegacyServer().connect(transport);
    return transport;
  }

  return listen(port, async (request, response) => {
    const id = request.headers['mcp-session-id'];
    const transport = id === undefined ? await newSession() : sessions.get(String(id));
    if (!transport) return refuse(response, 404, -32001, 'Session not found');
    await transport.handleRequest(request, response);
  });
}

/**
 * HTTP+SSE of 2024-11-05: a server and a stream for each client.
 *
 * @param {number} port
 */
export function serveSse(port) {
  /** @type {Map<string, SSEServerTransport>} */
  const streams = new Map();
  return listen(port, async (request, response) => {
    if (request.method === 'GET') {
      const stream = new SSEServerTransport('/mcp', response);
      streams.set(stream.sessionId, stream);
      response.once('close', () => streams.delete(stream.sessionId));
      return createLegacyServer().connect(stream);
    }
    const id = new URL(request.url ?? '', 'http://localhost').searchParams.get('sessionId');
    const stream = streams.get(id ?? '');
    if (!stream) return refuse(response, 404, -32001, 'Session not found');
    await stream.handlePostMessage(request, response);
  });
}

/**
 * A server for each request; what one of them changes is told on the streams of all that listen.
 *
 * @param {number} port
 */
export function serveModern(port) {
  const handler = createMcpHandler(
    () =>
      createModernServer((list) =>
        list === 'tools' ? handler.notify.toolsChanged() : handler.notify.promptsChanged(),
      ),
    { legacy: 'reject' },
  );
  return listen(port, toNodeHandler(handler));
}
