import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { ProxyError } from '../errors.js';

/** Known servers, as data: `config/servers.yaml` says what each needs to keep its state. */

const option = z.strictObject({
  /** Added as `--option=value`; the bare option without it. */
  value: z.string().optional(),
  /** Added to the comma-separated list that the option holds. */
  add: z.array(z.string()).optional(),
  /** Not beside any of these. */
  unless: z.array(z.string()).default([]),
  /** Tools that came with what was added, and that nobody asked for. */
  hide: z.array(z.string()).default([]),
});

const preset = z.strictObject({
  match: z.string(),
  options: z.record(z.string(), option).default({}),
  server: z.record(z.string(), z.json()),
});

type Preset = z.output<typeof preset>;
type Entry = Record<string, unknown>;

const FILE = new URL('../../config/servers.yaml', import.meta.url);

let known: Record<string, Preset> | undefined;

function presets(): Record<string, Preset> {
  known ??= z.record(z.string(), preset).parse(parse(readFileSync(FILE, 'utf8')));
  return known;
}

/**
 * One server entry of a config file, laid over the preset of its server, when there is one.
 * @throws {ProxyError} CONFIG_INVALID when it names one that does not exist
 */
export function withPreset(place: string, entry: unknown): unknown {
  if (!isEntry(entry) || typeof entry.command !== 'string') return entry;
  const { preset: chosen } = entry;
  if (chosen === 'none') return entry;
  const words = [entry.command, ...textsOf(entry.args)];
  const all = presets();
  const found =
    typeof chosen === 'string'
      ? Object.entries(all).find(([name]) => name === chosen)
      : Object.entries(all).find(([, { match }]) => words.some((word) => new RegExp(match).test(word)));
  if (found) return apply(found[0], found[1], entry);
  if (typeof chosen !== 'string') return entry;
  throw new ProxyError(
    'CONFIG_INVALID',
    `${place}.preset: there is no preset "${chosen}". Use ${Object.keys(all).join(', ')} or none.`,
  );
}

function apply(name: string, { options, server }: Preset, entry: Entry): Entry {
  const hidden: string[] = [];
  let args = textsOf(entry.args);
  for (const [key, { value, add, unless, hide }] of Object.entries(options)) {
    if (unless.some((other) => valueOf(args, other) !== undefined)) continue;
    const own = valueOf(args, key);
    if (add) {
      const missing = add.filter((one) => !own?.split(',').includes(one));
      if (missing.length === 0) continue;
      args = [...without(args, key), `${key}=${[...(own ? [own] : []), ...missing].join(',')}`];
      hidden.push(...hide);
    } else if (own === undefined || !own.includes(value ?? '')) {
      args = [...args, value === undefined ? key : `${key}=${value}`];
    }
  }
  const merged = mergeDeep(server, { ...entry, args, preset: name });
  if (hidden.length === 0) return merged;
  const tools = isEntry(merged.tools) ? merged.tools : {};
  return { ...merged, tools: { ...tools, exclude: [...textsOf(tools.exclude), ...hidden] } };
}

/** What an option is given, as `--option=value` or in the next word; empty for a bare one. */
function valueOf(args: readonly string[], option: string): string | undefined {
  for (const [index, arg] of args.entries()) {
    if (arg.startsWith(`${option}=`)) return arg.slice(option.length + 1);
    if (arg !== option) continue;
    const next = args[index + 1];
    return next === undefined || next.startsWith('-') ? '' : next;
  }
  return undefined;
}

function without(args: readonly string[], option: string): string[] {
  const at = args.findIndex((arg) => arg === option || arg.startsWith(`${option}=`));
  if (at < 0) return [...args];
  const words = args[at] === option && !(args[at + 1] ?? '-').startsWith('-') ? 2 : 1;
  return [...args.slice(0, at), ...args.slice(at + words)];
}

/** `over` laid over `under`: objects by key, all else replaced. */
function mergeDeep(under: Entry, over: Entry): Entry {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const before = merged[key];
    merged[key] = isEntry(before) && isEntry(value) ? mergeDeep(before, value) : value;
  }
  return merged;
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}
