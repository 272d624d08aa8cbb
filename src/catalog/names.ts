import { globMatches } from '../config/glob.js';
import type { ServerConfig } from '../config/schema.js';

/** Between a server's name and its tool's in the names clients see, where there are several servers. */
const SEPARATOR = '__';

/** Names of tools and prompts as clients see them, and back. With one server nothing is renamed. */
export class Names {
  readonly #servers: readonly ServerConfig[];

  constructor(servers: readonly ServerConfig[]) {
    this.#servers = servers;
  }

  exposed(server: string, name: string): string {
    return this.#servers.length === 1 ? name : `${server}${SEPARATOR}${name}`;
  }

  /** The server and its own name behind an exposed one; the longest server name wins where one begins another. */
  resolve(exposed: string): { server: string; name: string } | undefined {
    const [only, ...others] = this.#servers;
    if (only && others.length === 0) return { server: only.name, name: exposed };
    let found: { server: string; name: string } | undefined;
    for (const { name: server } of this.#servers) {
      const prefix = `${server}${SEPARATOR}`;
      if (exposed.startsWith(prefix) && server.length > (found?.server.length ?? 0)) {
        found = { server, name: exposed.slice(prefix.length) };
      }
    }
    return found;
  }
}

/** Whether the config of a server offers a tool. */
export function isOffered({ tools: { include, exclude } }: ServerConfig, tool: string): boolean {
  const matches = (pattern: string) => globMatches(pattern, tool);
  return (include?.some(matches) ?? true) && !exclude.some(matches);
}
