import { createHash } from 'node:crypto';
import type { ServerConfig } from '../config/schema.js';
import type { Companions } from '../downstream/companions.js';
import type { Notification } from '../protocol/messages.js';
import type { BindingOptions } from './binding-options.js';
import { Binding } from './binding.js';
import type { Audience } from './calls.js';
import { Circuit } from './circuit.js';
import type { Outlet } from './exchange.js';

/** A session as one of those that use a binding. */
export interface User extends Audience {
  readonly id: string;
  readonly principal: string;
  isSubscribed(server: string, uri: unknown): boolean;
}

/** What bindings are made of, whosever they are. */
export interface Drivers extends Pick<
  BindingOptions,
  'memoryOf' | 'store' | 'clock' | 'connect' | 'questions' | 'random'
> {
  /** Those of a server that has some. */
  companionsOf?: (config: ServerConfig) => Companions | undefined;
}

/** Owner of the bindings that all sessions share. */
const EVERYBODY = 'shared';

/** Bindings by the scope of their server: who uses which, and when nobody does any more. */
export class Bindings {
  readonly #drivers: Drivers;
  readonly #shared = new Map<string, { binding: Binding; users: Users }>();

  /** One for each server as it is configured. */
  readonly #circuits = new WeakMap<ServerConfig, Circuit>();

  constructor(drivers: Drivers) {
    this.#drivers = drivers;
  }

  /** The binding a session uses for a server; `held` are those it has of its own. */
  acquire(user: User, config: ServerConfig, held: Map<string, Binding>): Binding {
    if (config.scope === 'call') return this.#create(config, holderOf(config, user), user);
    if (config.scope === 'session') {
      const own = held.get(config.name) ?? this.#create(config, user.id, user);
      held.set(config.name, own);
      return own;
    }
    const owner = ownerOf(config, user);
    const key = `${owner} ${config.name}`;
    let entry = this.#shared.get(key);
    if (!entry) {
      const users = new Users(config.name);
      entry = { users, binding: this.#create(config, owner, users) };
      this.#shared.set(key, entry);
    }
    entry.users.add(user);
    return entry.binding;
  }

  /** A binding to take the place of `held` beside the same companions, not started yet. */
  replace(user: User, config: ServerConfig, held: Binding): Binding {
    const binding = this.#create(config, user.id, user, held.companions);
    binding.generation = Math.max(binding.generation, held.generation);
    return binding;
  }

  /** The session uses its bindings no more; those that nobody uses stop. */
  async release(user: User, held: Map<string, Binding>, reason: string, force = false): Promise<void> {
    const ends = [...held.values()].map((binding) => binding.release(reason, force));
    held.clear();
    for (const [key, { binding, users }] of this.#shared) {
      if (!users.remove(user) || users.size > 0) continue;
      // Until it is gone it stays known: its successor waits for that.
      const forget = () => {
        if (users.size === 0) this.#shared.delete(key);
      };
      ends.push(binding.release(reason, force).finally(forget));
    }
    await Promise.all(ends);
  }

  #create(
    config: ServerConfig,
    owner: string,
    audience: Audience,
    companions = this.#drivers.companionsOf?.(config),
  ): Binding {
    const circuit = this.#circuits.get(config) ?? new Circuit({ ...this.#drivers, healthy: 0 });
    this.#circuits.set(config, circuit);
    return new Binding({ ...this.#drivers, config, owner, audience, circuit, companions });
  }
}

/** Whose a binding is, and whose folder its `${session.dir}` names. */
export function ownerOf(config: ServerConfig, user: Pick<User, 'id' | 'principal'>): string {
  if (config.scope === 'shared') return EVERYBODY;
  if (config.scope !== 'principal') return user.id;
  return `principal-${createHash('sha256').update(user.principal).digest('hex').slice(0, 16)}`;
}

/** What the store knows a binding by, besides its server. */
export function holderOf(config: ServerConfig, user: Pick<User, 'id' | 'principal'>): string {
  return config.scope === 'call' ? `call-${user.id}` : ownerOf(config, user);
}

/** The sessions on one shared binding. What concerns one of them must not reach the others. */
class Users implements Audience {
  readonly #server: string;
  readonly #users = new Set<User>();

  constructor(server: string) {
    this.#server = server;
  }

  get size(): number {
    return this.#users.size;
  }

  add(user: User): void {
    this.#users.add(user);
  }

  remove(user: User): boolean {
    return this.#users.delete(user);
  }

  notify(notification: Notification): void {
    const { method, params } = notification;
    for (const user of this.#users) {
      const meant =
        this.#users.size === 1 ||
        method.endsWith('/list_changed') ||
        (method === 'notifications/resources/updated' && user.isSubscribed(this.#server, params?.uri));
      if (meant) user.notify(notification);
    }
  }

  outlet(capability: string | undefined): Outlet | undefined {
    const [only, ...others] = this.#users;
    return others.length === 0 ? only?.outlet(capability) : undefined;
  }
}
