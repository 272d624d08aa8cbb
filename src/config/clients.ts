import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';

/** Where one kind of client names its conversation: a header (in lower case), or a path in `params._meta`. */
export interface HintConfig {
  client: string;
  header?: string;
  path: readonly string[];
}

const hint = z
  .strictObject({
    meta: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe('A key of params._meta; a list goes into what the key holds, also into JSON text.'),
    header: z.string().min(1).optional().describe('An HTTP header.'),
  })
  .refine(
    ({ meta, header }) => (meta === undefined) !== (header === undefined),
    'must have either "meta" or "header"',
  );

const client = z.strictObject({
  hints: z.array(hint).min(1).describe('Where it names its conversation; the first that is there counts.'),
});

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

export const clientsSchema = z.record(
  z.string().regex(NAME, 'must be 1 to 64 letters, digits, dots, hyphens or underscores'),
  z.union([client, z.literal(['on', 'off']), z.boolean()], {
    error: 'must be "off", "on" (as known to the proxy), or a mapping with "hints"',
  }),
);

type Clients = z.output<typeof clientsSchema>;

const KNOWN = new URL('../../config/clients.yaml', import.meta.url);

/** The hints in the order in which they are tried: the user's own clients, then the known ones that they do not name. */
export function hintsOf(own: Clients): HintConfig[] {
  const known = clientsSchema.parse(parse(readFileSync(KNOWN, 'utf8')));
  return Object.entries({ ...own, ...without(known, own) }).flatMap(([name, entry]) => {
    const chosen = entry === 'on' || entry === true ? known[name] : entry;
    if (typeof chosen !== 'object') return [];
    return chosen.hints.map(({ meta = [], header }) => ({
      client: name,
      path: typeof meta === 'string' ? [meta] : meta,
      ...(header === undefined ? {} : { header: header.toLowerCase() }),
    }));
  });
}

function without(known: Clients, own: Clients): Clients {
  return Object.fromEntries(Object.entries(known).filter(([name]) => !Object.hasOwn(own, name)));
}
