import { ProxyError } from '../errors.js';

/** The session as its refusals name it. */
interface Named {
  readonly id: string;
  readonly name: string | null;
}

const nameOf = ({ name, id }: Named) => name ?? id;

/** Another process holds the session. */
export function inUse(session: Named): ProxyError {
  const text = `Session ${nameOf(session)} is in use by another mcp-session-proxy on the same store. Stop that one, or give each a "store" of its own.`;
  return new ProxyError('SESSION_IN_USE', text);
}

export function closed(session: Named): ProxyError {
  return new ProxyError('SESSION_CLOSED', `Session ${nameOf(session)} is closed. Start a new one.`);
}

/** @param refused what is not done to it, as in "paused" */
export function busy(session: Named & { inFlight: number }, refused: string): ProxyError {
  const text = `Session ${nameOf(session)} has ${session.inFlight} requests under way and is not ${refused}. Wait, or use force.`;
  return new ProxyError('SESSION_BUSY', text);
}

export function full(session: Named, maxCalls: number): ProxyError {
  const text = `Session ${nameOf(session)} has ${maxCalls} requests under way (sessions.maxCalls). Wait for some to end.`;
  return new ProxyError('TOO_MANY_REQUESTS', text);
}
