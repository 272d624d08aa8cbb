import { PROXY_PROFILE } from '../protocol/client.js';
import { isFields, type Fields } from '../protocol/messages.js';

/** What a server is taken to offer before it has ever been started: asking for what is not there gives an empty list. */
const PRESUMED: Fields = {
  tools: { listChanged: true },
  resources: { subscribe: true, listChanged: true },
  prompts: { listChanged: true },
  logging: {},
  completions: {},
};

/**
 * The answer to `initialize` for all servers together.
 * @param descriptions of each server what it said of itself, undefined where it is not known yet
 */
export function mergeDescriptions(descriptions: readonly (Fields | undefined)[]): Fields {
  const [only] = descriptions;
  if (descriptions.length === 1 && only) {
    const { protocolVersion: _, ...description } = only;
    return description;
  }
  const capabilities = descriptions
    .map((description) => (description ? description.capabilities : PRESUMED))
    .reduce<Fields>((all, some) => (isFields(some) ? union(all, some) : all), {});
  const instructions = descriptions
    .map((description) => description?.instructions)
    .filter((text) => typeof text === 'string')
    .join('\n\n');
  return { capabilities, serverInfo: PROXY_PROFILE.clientInfo, ...(instructions ? { instructions } : {}) };
}

/** Whatever one of the two offers. */
function union(one: Fields, other: Fields): Fields {
  const all = { ...one };
  for (const [key, value] of Object.entries(other)) {
    const had = all[key];
    if (isFields(had) && isFields(value)) all[key] = union(had, value);
    else if (had === undefined || had === false) all[key] = value;
  }
  return all;
}
