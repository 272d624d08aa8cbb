import { isFields, type Fields } from '../../protocol/messages.js';
import type { ItemResult } from '../door.js';

type Told<T> =
  { ok: true; value: T } | { ok: false; error: { code: string; message: string; details?: Fields } };

/** Results of a batch with failures as the API tells them: by their stable code. */
export function told<T>(items: ItemResult<T>[]): { results: Told<T>[] } {
  return {
    results: items.map((item) => {
      if (item.ok) return item;
      const { code, ...details } = isFields(item.error.data) ? item.error.data : {};
      return { ok: false, error: failureOf(String(code), item.error.message, details) };
    }),
  };
}

/** A failure as the API tells it. */
export function failureOf(code: string, message: string, details: Readonly<Fields>) {
  return { code, message, ...(Object.keys(details).length > 0 ? { details: { ...details } } : {}) };
}
