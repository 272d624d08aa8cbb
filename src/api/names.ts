import { randomBytes } from 'node:crypto';

const NAME = /^(?!\.*$)[\w.-]+$/;

/**
 * What a session is called at the proxy. Where names tell the agents apart, each session must have one; what cannot be a
 * name goes there as it is, to be refused.
 */
export function outerName(prefix: string, name: string | undefined): string | undefined {
  if (prefix === '') return name;
  if (name === undefined) return prefix + randomBytes(6).toString('hex');
  return NAME.test(name) ? prefix + name : name;
}

/** What its agent calls it. */
export function innerName(prefix: string, name: string | null): string | null {
  return name?.startsWith(prefix) ? name.slice(prefix.length) : name;
}
