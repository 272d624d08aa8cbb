import { createHash } from 'node:crypto';
import type { ServerConfig } from '../config/schema.js';
import type { Description } from '../downstream/types.js';
import { eraOf, type Era } from '../protocol/eras.js';
import { isFields, type Fields } from '../protocol/messages.js';
import type { Store } from '../store/types.js';
import type { Binding } from './binding.js';

/** What a worker tells the next one of a server, so that it can go on with it. */
export interface Label {
  owner: string;
  server: string;
  generation: number;
  /** `describedKey` of the config it was started with. */
  config: string;
  description: Description;
  /** Of its start, like `session.dir`. */
  variables: Readonly<Record<string, string>>;
}

export function labelOf(
  { owner, config, generation }: Binding,
  description: Description,
  variables: Label['variables'],
): string {
  const label: Label = {
    owner,
    server: config.name,
    generation,
    config: describedKey(config),
    description,
    variables,
  };
  return JSON.stringify(label);
}

/** Undefined for a server that was still starting, or whose worker was another program. */
export function parseLabel(text: string): Label | undefined {
  const value: unknown = text === '' ? undefined : JSON.parse(text);
  if (!isFields(value)) return undefined;
  const { owner, server, generation, config, description, variables } = value;
  if (typeof owner !== 'string' || typeof server !== 'string' || typeof config !== 'string') return undefined;
  if (typeof generation !== 'number' || !isFields(description) || !isFields(variables)) return undefined;
  const texts = Object.entries(variables).map(([name, one]): [string, string] => [name, String(one)]);
  return { owner, server, generation, config, description, variables: Object.fromEntries(texts) };
}

/** Under which a server's description is remembered: it holds for this configuration alone. */
export function describedKey({ name: _, ...config }: ServerConfig): string {
  return createHash('sha256').update(JSON.stringify(config)).digest('hex');
}

/** The era of a server as it was found when one of this configuration last started. */
export function eraOfLast(store: Store, config: ServerConfig): Era | undefined {
  const stored = store.servers.description(describedKey(config));
  return stored === undefined ? undefined : eraOf((JSON.parse(stored) as Fields).protocolVersion);
}
