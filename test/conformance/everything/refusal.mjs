const INVALID_PARAMS = -32602;

/** An error that goes out as it is: the servers of both SDKs take its code and its data, whatever its class. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number} [code]
   * @param {object} [data]
   */
  constructor(message, code = INVALID_PARAMS, data = undefined) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/**
 * @template {{ name: string }} Item
 * @param {Item[]} items
 * @param {string} name
 * @param {string} kind
 */
export function find(items, name, kind) {
  const item = items.find((candidate) => candidate.name === name);
  if (!item) throw new Refusal(`Unknown ${kind}: ${name}`);
  return item;
}
