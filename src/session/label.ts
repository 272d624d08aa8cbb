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
  /** The process is no server, but that companion of it. */
  companion?: string | undefined;
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

/** @param own what it was given, like its port */
export function labelOfCompanion(binding: Binding, companion: string, own: Label['variables']): string {
  const { owner, config, generation } = binding;
  const label: Label = {
    owner,
    server: config.name,
    generation,
    config: companionsKey(config),
    description: {},
    variables: own,
    companion,
  };
  return JSON.stringify(label);
}

/** Whether a process of that label is still what the config describes. */
export function isOf({ companion, config: key }: Label, config: ServerConfig): boolean {
  return key === (companion === undefined ? describedKey(config) : companionsKey(config));
}

/** Companions do not mind what becomes of their server: a change of its arguments is none of theirs. */
function companionsKey(config: ServerConfig): string {
  return hashOf(config.kind === 'local' ? config.companions : {});
}

function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}

/** Undefined for a server that was still starting, or whose worker was another program. */
export function parseLabel(text: string): Label | undefined {
  const value: unknown = text === '' ? undefined : JSON.parse(text);
  if (!isFields(value)) return undefined;
  const { owner, server, generation, config, description, variables, companion } = value;
  if (typeof owner !== 'string' || typeof server !== 'string' || typeof config !== 'string') return undefined;
  if (typeof generation !== 'number' || !isFields(description) || !isFields(variables)) return undefined;
  const texts = Object.entries(variables).map(([name, one]): [string, string] => [name, String(one)]);
  return {
    owner,
    server,
    generation,
    config,
    description,
    variables: Object.fromEntries(texts),
    companion: typeof companion === 'string' ? companion : undefined,
  };
}

/** Whether a request of which the client was asked something is still with the server: a modern one ends it by asking. */
export function waitsForAnswers({ description }: Label): boolean {
  return eraOf(description.protocolVersion) === 'legacy';
}

/** Under which a server's description is remembered: it holds for this configuration alone. */
export function describedKey({ name: _, ...config }: ServerConfig): string {
  return hashOf(config);
}

/** Keeps what a server said of itself at its start, for those who ask while it does not run. */
export function rememberDescription(store: Store, config: ServerConfig, said: Description, at: number): void {
  store.servers.setDescription(describedKey(config), JSON.stringify(said), at);
}

/** The era of a server as it was found when one of this configuration last started. */
export function eraOfLast(store: Store, config: ServerConfig): Era | undefined {
  const stored = store.servers.description(describedKey(config));
  return stored === undefined ? undefined : eraOf((JSON.parse(stored) as Fields).protocolVersion);
}
