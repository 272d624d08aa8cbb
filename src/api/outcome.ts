import type { ItemResult, ToolResult } from '../admin/door.js';
import { ProxyError, asProxyError, isErrorCode, type ErrorObject } from '../errors.js';
import { isFields } from '../protocol/messages.js';

/** Where a result says that it is the proxy's own failure. */
const ERROR_META = 'mcp-session-proxy/error';

/** What became of one item of a batch. */
export type Outcome<T> = { ok: true; value: T } | { ok: false; error: ProxyError };

/** The outcomes of a batch, each value made into what the caller is to get. */
export function outcomesOf<Item, T>(
  items: readonly ItemResult<Item>[],
  make: (value: Item) => T,
): Outcome<T>[] {
  return items.map((item) => {
    if (!item.ok) return { ok: false, error: toError(item.error) };
    try {
      return { ok: true, value: make(item.value) };
    } catch (error) {
      return { ok: false, error: asProxyError(error) };
    }
  });
}

/** What became of one call. */
export async function settle<T>(job: Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await job };
  } catch (error) {
    return { ok: false, error: asProxyError(error) };
  }
}

/** A result that a server gave. @throws {ProxyError} where the proxy made it of a failure of its own */
export function serversOwn(result: ToolResult): ToolResult {
  const code = isFields(result._meta) ? result._meta[ERROR_META] : undefined;
  if (result.isError === true && isErrorCode(code)) throw new ProxyError(code, textOf(result));
  return result;
}

/**
 * All text of a tool's result, its parts on lines of their own.
 *
 * @example
 * textOf(await session.useTool('browser_snapshot'))
 */
export function textOf({ content }: ToolResult): string {
  const parts: unknown[] = Array.isArray(content) ? content : [];
  return parts
    .flatMap((part) => (isFields(part) && typeof part.text === 'string' ? [part.text] : []))
    .join('\n');
}

function toError({ message, data }: ErrorObject): ProxyError {
  const { code, ...details } = isFields(data) ? data : {};
  return new ProxyError(isErrorCode(code) ? code : 'INTERNAL', message, { details });
}
