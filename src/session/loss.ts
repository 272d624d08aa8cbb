import { withMeta, type Fields, type Outcome } from '../protocol/messages.js';
import { ProxyError } from '../errors.js';
import type { Restored } from './checkpoint.js';

/** Key in a result's `_meta` under which programs find their session. */
export const SESSION_META = 'mcp-session-proxy/session';

/** A server whose state a session has lost. */
export interface Loss {
  server: string;
  /** Why; completes "the server …". */
  reason: string;
  /** What was brought back; nothing without it. */
  restored?: Restored;
}

/** A server that has lost its state, or is gone, in the face of a call. */
export class StateLost extends ProxyError {
  /** What the server answered; undefined when the request was never sent. */
  readonly outcome: Outcome | undefined;

  constructor(server: string, reason: string, outcome?: Outcome) {
    super(
      outcome ? 'OUTCOME_UNKNOWN' : 'SERVER_UNAVAILABLE',
      `Server "${server}" ${reason}; the request was ${outcome ? 'sent' : 'not sent. Try again'}.`,
      { details: { died: outcome !== undefined } },
    );
    this.outcome = outcome;
  }
}

/** Whether a server did not take a request any more, so that nothing can have come of it. */
export function isUnsent(error: unknown): boolean {
  return error instanceof ProxyError && error.details.unsent === true;
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
  const told = withMeta(result, { [SESSION_META]: lost ? { ...session, lost: [shown(lost)] } : session });
  if (!lost || !Array.isArray(result.content)) return told;
  return { ...told, content: [{ type: 'text', text: lossText(lost) }, ...(result.content as unknown[])] };
}

/** Times as programs read them. */
function shown({ restored, ...loss }: Loss): Fields {
  if (!restored) return { ...loss };
  const { at, saved, ...rest } = restored;
  const saving = saved === undefined ? {} : { saved: new Date(saved).toISOString() };
  return { ...loss, restored: { at: new Date(at).toISOString(), ...saving, ...rest } };
}

function lossText({ server, reason, restored }: Loss): string {
  const begin = `[mcp-session-proxy] Server "${server}" ${reason} and was started anew for this call`;
  if (!restored) {
    return (
      `${begin}: what it kept in memory (open pages, logins, variables, transactions) is lost, and earlier ` +
      `references into it are invalid.`
    );
  }
  if (restored.kept) {
    const went = restored.kept.map((name) => `"${name}"`).join(', ');
    const { note = 'What it kept in memory itself is lost, and earlier references into it are invalid.' } =
      restored;
    return `${begin}. Beside it ${went} went on, with all that is held there. ${note}`;
  }
  const { at, saved, replayed, note = 'Earlier references into it are invalid.' } = restored;
  const from = [
    ...(saved === undefined ? [] : [`as saved at ${new Date(saved).toISOString()}`]),
    ...(replayed === undefined ? [] : [`by ${replayed} recorded calls`]),
  ];
  return `${begin}: session restored at ${new Date(at).toISOString()}${from.map((how) => `, ${how}`).join('')}. ${note}`;
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
