import { withMeta, type Fields, type Outcome } from '../protocol/messages.js';
import type { ProxyError } from '../errors.js';

/** Key in a result's `_meta` under which programs find their session. */
export const SESSION_META = 'mcp-session-proxy/session';

/** A server whose state a session has lost. */
export interface Loss {
  server: string;
  /** Why; completes "the server …". */
  reason: string;
}

/** The session as every tool result carries it. */
export interface SessionMeta {
  id: string;
  name: string | null;
  state: string;
  temporary: boolean;
}

/** A result with its session, and with what was lost since the last one: for programs in `_meta`, for models as text. */
export function decorate(result: Fields, session: SessionMeta, lost: Loss | undefined): Fields {
  const told = withMeta(result, { [SESSION_META]: lost ? { ...session, lost: [lost] } : session });
  if (!lost || !Array.isArray(result.content)) return told;
  return { ...told, content: [{ type: 'text', text: lossText(lost) }, ...(result.content as unknown[])] };
}

function lossText({ server, reason }: Loss): string {
  return (
    `[mcp-session-proxy] Server "${server}" ${reason} and was started anew for this call: what it kept in memory ` +
    `(open pages, logins, variables, transactions) is lost, and earlier references into it are invalid.`
  );
}

/**
 * A failed tool call as a result the model sees; other failures stay JSON-RPC errors. Tools, error handling: what the
 * caller can react to SHOULD be reported in the result with `isError`.
 */
export function asToolResult(error: ProxyError): Outcome {
  return {
    result: {
      content: [{ type: 'text', text: error.message }],
      isError: true,
      _meta: { 'mcp-session-proxy/error': error.code },
    },
  };
}
