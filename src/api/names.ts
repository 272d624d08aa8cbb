import { randomBytes } from 'node:crypto';

/** What a session is called at the proxy. Where names tell the agents apart, each session must have one. */
export function outerName(prefix: string, name: string | undefined): string | undefined {
  if (prefix === '') return name;
  return `${prefix}${name ?? randomBytes(6).toString('hex')}`;
}

/** What its agent calls it. */
export function innerName(prefix: string, name: string | null): string | null {
  return name?.startsWith(prefix) ? name.slice(prefix.length) : name;
}
