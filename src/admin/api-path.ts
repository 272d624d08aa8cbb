/** Where the HTTP API is, below the listener's root. */
export const API_PATH = '/api/v1';

/** Path of the MCP endpoint on the socket of this machine, whatever the config says of the one on the port. */
export const LOCAL_MCP_PATH = '/mcp';

/** The MCP endpoint of the proxy at a URL, which may be that of its API; a path of its own is the endpoint's. */
export function mcpEndpoint(url: string): string {
  const base = url.replace(new RegExp(`${API_PATH}/*$`), '').replace(/\/+$/, '');
  return new URL(base).pathname === '/' ? `${base}/mcp` : base;
}
