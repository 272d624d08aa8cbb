import { createServer } from 'node:http';

/**
 * @import { IncomingHttpHeaders, RequestListener, ServerResponse } from 'node:http'
 * @import { AddressInfo } from 'node:net'
 */

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Serves `/mcp` to loopback callers.
 *
 * @param {number} port 0 takes any free one
 * @param {RequestListener} handle
 * @returns {Promise<number>} the port it listens on
 */
export async function listen(port, handle) {
  const http = createServer((request, response) => {
    if (!isLoopback(request.headers))
      return refuse(response, 403, -32000, 'Only loopback callers are served');
    if (request.url?.split('?')[0] !== '/mcp') return refuse(response, 404, -32000, 'The endpoint is /mcp');
    return handle(request, response);
  });
  await new Promise((resolve, reject) => {
    http.once('error', reject);
    http.listen(port, '127.0.0.1', () => resolve(undefined));
  });
  return /** @type {AddressInfo} */ (http.address()).port;
}

/**
 * @param {ServerResponse} response
 * @param {number} status
 * @param {number} code
 * @param {string} message
 */
export function refuse(response, status, code, message) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
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
