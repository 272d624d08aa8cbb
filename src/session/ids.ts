import { createHash, randomBytes } from 'node:crypto';
import { ProxyError } from '../errors.js';

/** A session's own id: 128 random bits. It names, it does not open: every use is checked against the principal. */
export function newSessionId(): string {
  return `ses_${randomBytes(16).toString('base64url')}`;
}

/**
 * What a client holds of its attachment: 256 random bits in visible ASCII, as 2025-11-25 asks of `Mcp-Session-Id`.
 * Whoever holds it is in; so the store keeps a hash alone.
 */
export function newAttachmentKey(): string {
  return randomBytes(32).toString('base64url');
}

/** What the store knows an attachment by. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('base64url');
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** @throws {ProxyError} SESSION_NAME_INVALID */
export function checkName(name: string): string {
  // Dots alone are names of folders.
  if (NAME.test(name) && !/^\.+$/.test(name)) return name;
  throw new ProxyError(
    'SESSION_NAME_INVALID',
    `"${name.slice(0, 80)}" cannot name a session. Use 1 to 64 letters, digits, dots, underscores and hyphens.`,
  );
}
