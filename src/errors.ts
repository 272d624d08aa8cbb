import { redact } from './secrets.js';

/**
 * Every failure this program explains to somebody, in one table: its stable code, the HTTP status and the
 * JSON-RPC code it travels under. Codes are API: they are never renamed, only added.
 *
 * -32020 to -32099 belong to the MCP specification (2026-07-28), so a failure of ours travels under JSON-RPC's
 * own codes, with our stable code in `data.code`; -32001 for an unknown session is what MCP clients know.
 */
const TABLE = {
  CONFIG_INVALID: { status: 500, rpc: -32603 },
  PORT_IN_USE: { status: 500, rpc: -32603 },
  PARSE_ERROR: { status: 400, rpc: -32700 },
  INVALID_REQUEST: { status: 400, rpc: -32600 },
  INVALID_PARAMS: { status: 400, rpc: -32602 },
  METHOD_NOT_FOUND: { status: 404, rpc: -32601 },
  UNAUTHORIZED: { status: 401, rpc: -32600 },
  FORBIDDEN: { status: 403, rpc: -32600 },
  FORBIDDEN_HOST: { status: 403, rpc: -32600 },
  FORBIDDEN_ORIGIN: { status: 403, rpc: -32600 },
  NOT_ACCEPTABLE: { status: 406, rpc: -32600 },
  METHOD_NOT_ALLOWED: { status: 405, rpc: -32600 },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, rpc: -32600 },
  BODY_TOO_LARGE: { status: 413, rpc: -32600 },
  SESSION_REQUIRED: { status: 400, rpc: -32600 },
  SESSION_NOT_FOUND: { status: 404, rpc: -32001 },
  SESSION_CLOSED: { status: 404, rpc: -32001 },
  SESSION_EXISTS: { status: 409, rpc: -32602 },
  SESSION_BUSY: { status: 409, rpc: -32603 },
  SESSION_IN_USE: { status: 409, rpc: -32603 },
  SESSION_NAME_INVALID: { status: 400, rpc: -32602 },
  SESSION_LIMIT: { status: 503, rpc: -32603 },
  TOO_MANY_REQUESTS: { status: 429, rpc: -32603 },
  SHUTTING_DOWN: { status: 503, rpc: -32603 },
  UNSUPPORTED_VERSION: { status: 400, rpc: -32022 },
  HEADER_MISMATCH: { status: 400, rpc: -32020 },
  CAPABILITY_REQUIRED: { status: 400, rpc: -32021 },
  ENVELOPE_INVALID: { status: 400, rpc: -32602 },
  STATE_KEY_INVALID: { status: 400, rpc: -32602 },
  STATE_VALUE_INVALID: { status: 400, rpc: -32602 },
  STATE_CONFLICT: { status: 412, rpc: -32603 },
  STATE_TOO_LARGE: { status: 413, rpc: -32602 },
  STATE_NOT_FOUND: { status: 404, rpc: -32602 },
  TOOL_NOT_FOUND: { status: 404, rpc: -32602 },
  NOT_FOUND: { status: 404, rpc: -32602 },
  SERVER_UNAVAILABLE: { status: 502, rpc: -32603 },
  CIRCUIT_OPEN: { status: 503, rpc: -32603 },
  RESTORE_FAILED: { status: 502, rpc: -32603 },
  SERVER_BUSY: { status: 503, rpc: -32603 },
  OUTCOME_UNKNOWN: { status: 502, rpc: -32603 },
  CALL_TIMEOUT: { status: 504, rpc: -32603 },
  CALL_CANCELLED: { status: 499, rpc: -32603 },
  STORE_FAILED: { status: 503, rpc: -32603 },
  INTERNAL: { status: 500, rpc: -32603 },
} as const satisfies Record<string, { status: number; rpc: number }>;

/** The stable code of a failure. */
export type ErrorCode = keyof typeof TABLE;

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(TABLE, code);
}

/** A JSON-RPC error object as it stands on the wire. */
export interface ErrorObject {
  code: number;
  message: string;
  data?: unknown;
}

/** A failure with a stable code and a sentence that says what happened, where, and what to do. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ErrorCode;
  /** More fields for `data` of the JSON-RPC error. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: ErrorOptions & { details?: Record<string, unknown> } = {},
  ) {
    // Here, once, for everything that quotes a server, a file or a header: no message tells a secret.
    super(redact(message), options);
    this.code = code;
    this.details = options.details ?? {};
  }

  /** HTTP status under which the failure travels when no JSON-RPC response is due. */
  get status(): number {
    return TABLE[this.code].status;
  }

  toJsonRpc(): ErrorObject {
    return {
      code: TABLE[this.code].rpc,
      message: this.message,
      data: { code: this.code, ...this.details },
    };
  }
}

/** Any thrown value as a ProxyError: ours as it is, a stranger as `code` with the stranger as its cause. */
export function asProxyError(thrown: unknown, code: ErrorCode = 'INTERNAL'): ProxyError {
  if (thrown instanceof ProxyError) return thrown;
  return new ProxyError(code, messageOf(thrown), { cause: thrown });
}

/** The message of any thrown value. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
