import { z } from 'zod';

/** What all clients take for the name of a tool. */
const NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const NAME_RULE = 'must be 1 to 64 letters, digits, underscores, dots or hyphens';

const patterns = z.array(z.string());

/** Which tools of a server are offered, and under which names. */
export const tools = z
  .strictObject({
    include: patterns.optional().describe('Only these tools; * stands for any text.'),
    exclude: patterns.default([]).describe('Not these tools.'),
    rename: z
      .record(z.string(), z.string().regex(NAME, NAME_RULE))
      .default({})
      .describe('New names of tools, by their old ones; before them stands the prefix.'),
    prefix: z
      .string()
      .regex(NAME, NAME_RULE)
      .optional()
      .describe(
        'What stands before the names of its tools, or none. Without it: the name of the server and __, where there are several.',
      ),
  })
  .superRefine(({ rename }, context) => {
    const names = Object.values(rename);
    for (const [old, name] of Object.entries(rename)) {
      if (names.indexOf(name) === names.lastIndexOf(name)) continue;
      const message = `gives two tools the name "${name}"`;
      return context.addIssue({ code: 'custom', path: ['rename', old], message });
    }
  });

type Servers = Readonly<Record<string, { tools: z.output<typeof tools> }>>;

/** Servers whose tools could not be told apart. @param places servers by the key of the config they stand under */
export function confusedNames(places: Readonly<Record<string, Servers>>) {
  const problems: { path: string[]; message: string }[] = [];
  const taken = new Map<string, string>();
  const names = Object.values(places).flatMap((servers) => Object.keys(servers));
  for (const [key, servers] of Object.entries(places)) {
    for (const [name, { tools: own }] of Object.entries(servers)) {
      const shorter = names.find((begin) => name.startsWith(`${begin}__`));
      if (shorter !== undefined) {
        const message = `begins like the tools of "${shorter}", as clients see them: choose a name without __`;
        problems.push({ path: [key, name], message });
      }
      if (own.prefix === undefined) continue;
      const other = taken.get(own.prefix);
      taken.set(own.prefix, name);
      if (other === undefined) continue;
      const message = `is that of server "${other}" as well, and their tools could not be told apart`;
      problems.push({ path: [key, name, 'tools', 'prefix'], message });
    }
  }
  return problems;
}
