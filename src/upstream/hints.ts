import type { HintConfig } from '../config/clients.js';
import { isFields, metaOf, type Fields } from '../protocol/messages.js';
import type { Hint } from '../session/correlate.js';

/** More than that is no name of a conversation, characters. */
const LONGEST_VALUE = 512;
const LONGEST_JSON = 16 * 1024;

/** Finds in a request what its client says of the conversation. */
export class HintReader {
  readonly #hints: readonly HintConfig[];

  /** @param hints in the order in which they are tried */
  constructor(hints: readonly HintConfig[]) {
    this.#hints = hints;
  }

  /** @param headers by name in lower case, where the transport has any */
  read(params: Fields | undefined, headers: Readonly<Record<string, unknown>> = {}): Hint | undefined {
    const meta = metaOf(params);
    for (const { client, header, path } of this.#hints) {
      const value = header === undefined ? meta && valueAt(meta, path) : headers[header];
      const text = Number.isFinite(value) ? String(value) : value;
      if (typeof text !== 'string' || text === '' || text.length > LONGEST_VALUE) continue;
      return { kind: client, value: text };
    }
    return undefined;
  }
}

/** Clients that pack several things into one key do so as JSON text, or as an object. */
function valueAt(meta: Fields, path: readonly string[]): unknown {
  return path.reduce<unknown>((part, key) => {
    const holder = typeof part === 'string' ? parse(part) : part;
    return isFields(holder) && Object.hasOwn(holder, key) ? holder[key] : undefined;
  }, meta);
}

function parse(text: string): unknown {
  if (text.length > LONGEST_JSON) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a client's own text is no hint, and no failure either
  }
}
