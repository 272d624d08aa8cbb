import { globMatches } from '../config/glob.js';
import type { ServerConfig } from '../config/schema.js';

/** Between a server's name and its tool's in the names clients see, where there are several servers. */
const SEPARATOR = '__';

interface Naming {
  server: string;
  prefixes: Readonly<Record<'tool' | 'prompt', string>>;
  /** Of tools: the server's own name to the one that clients see, before the prefix; and back. */
  renamed: ReadonlyMap<string, string>;
  originals: ReadonlyMap<string, string>;
}

/** Names of tools and prompts as clients see them, and back. With one server nothing is renamed but what the config says. */
export class Names {
  readonly #namings: ReadonlyMap<string, Naming>;

  constructor(servers: readonly ServerConfig[]) {
    this.#namings = new Map(
      servers.map(({ name: server, tools: { prefix, rename } }) => {
        const usual = servers.length === 1 ? '' : `${server}${SEPARATOR}`;
        const renames = Object.entries(rename);
        const naming: Naming = {
          server,
          prefixes: { tool: prefix === 'none' ? '' : (prefix ?? usual), prompt: usual },
          renamed: new Map(renames),
          originals: new Map(renames.map(([from, to]) => [to, from])),
        };
        return [server, naming];
      }),
    );
  }

  /** @returns undefined for a tool that no name leads back to, because another one has it */
  exposed(server: string, name: string, kind: 'tool' | 'prompt'): string | undefined {
    const naming = this.#namings.get(server);
    if (!naming) return undefined;
    const exposed = naming.prefixes[kind] + (kind === 'tool' ? (naming.renamed.get(name) ?? name) : name);
    const back = this.resolve(exposed, kind);
    return back?.server === server && back.name === name ? exposed : undefined;
  }

  /** The server and its own name behind an exposed one; the longest prefix wins where one begins another. */
  resolve(exposed: string, kind: 'tool' | 'prompt'): { server: string; name: string } | undefined {
    let found: Naming | undefined;
    for (const naming of this.#namings.values()) {
      const prefix = naming.prefixes[kind];
      if (exposed.startsWith(prefix) && (!found || prefix.length > found.prefixes[kind].length))
        found = naming;
    }
    if (!found) return undefined;
    const rest = exposed.slice(found.prefixes[kind].length);
    if (kind === 'prompt') return { server: found.server, name: rest };
    const original = found.originals.get(rest);
    // The old name of a renamed tool is no name any more.
    if (original === undefined && found.renamed.has(rest)) return undefined;
    return { server: found.server, name: original ?? rest };
  }
}

/** Whether the config of a server offers a tool. */
export function isOffered({ tools: { include, exclude } }: ServerConfig, tool: string): boolean {
  const matches = (pattern: string) => globMatches(pattern, tool);
  return (include?.some(matches) ?? true) && !exclude.some(matches);
}
