import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { ProxyError, messageOf } from '../errors.js';
import { addSecrets } from '../secrets.js';
import { APP, stateFolderOf } from './places.js';
import { withPreset } from './presets.js';
import { hintsOf } from './clients.js';
import { configSchema, toServerConfig, type Config } from './schema.js';
import { fillVariables, isSecretPlace, type Environment } from './variables.js';

/** Keys of a server entry that MCP clients write for themselves; `type` says what `url` or `command` says already. */
const CLIENT_TYPES: Readonly<Record<string, string>> = {
  http: 'http',
  'streamable-http': 'http',
  sse: 'sse',
};

/**
 * Reads, fills in and checks one config file (YAML or JSON). Its secrets are known to the logger afterwards.
 * @throws {ProxyError} CONFIG_INVALID naming file, key path and mend
 */
export function loadConfig(path: string, env: Environment = process.env): Config {
  const file = resolve(path);
  const raw = parseFile(file);
  const { value, secrets, missing } = fillVariables(raw, env);
  addSecrets(secrets);
  if (missing.length > 0) {
    throw invalid(
      file,
      missing.map(
        ({ path: at, name }) =>
          `${at.join('.')}: the variable ${name} is not set. Set it, or write \${${name}:-default}.`,
      ),
    );
  }

  const warnings: string[] = [];
  const parsed = configSchema.safeParse(withPresets(withoutClientKeys(value, warnings)));
  if (!parsed.success)
    throw invalid(
      file,
      parsed.error.issues.flatMap((issue) => explain(issue, value)),
    );

  const { servers = {}, mcpServers = {}, listen, auth, store, sessions, daemon, clients } = parsed.data;
  const twice = Object.keys(servers).filter((name) => Object.hasOwn(mcpServers, name));
  if (twice.length > 0) {
    throw invalid(file, [
      `mcpServers.${twice[0]}: stands in "servers" as well. Rename or remove one of the two.`,
    ]);
  }
  const entries = Object.entries({ ...servers, ...mcpServers });
  if (entries.length === 0)
    throw invalid(file, ['servers: no server is configured. Add one under "servers".']);

  const fromFile = (relative: string) =>
    // A path that begins with a template is absolute once it is filled in.
    relative.startsWith('${') ? relative : resolve(dirname(file), relative);
  const fromFileOrUrl = (place: string) => (/^https?:/.test(place) ? place : fromFile(place));
  return {
    file,
    listen,
    auth: {
      ...auth,
      tokens: auth.tokens.map((token) =>
        token.file === undefined ? token : { ...token, file: fromFile(token.file) },
      ),
      ...(auth.jwt && { jwt: { ...auth.jwt, jwks: fromFileOrUrl(auth.jwt.jwks) } }),
    },
    sessions,
    daemon,
    hints: hintsOf(clients),
    warnings,
    store:
      store === ':memory:' ? store : store ? fromFile(store) : join(stateFolderOf(file, env), 'sessions.db'),
    servers: entries.map(([name, entry]) => toServerConfig(name, entry, fromFile)),
  };
}

function parseFile(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new ProxyError('CONFIG_INVALID', `Cannot read the config file ${file}: ${messageOf(error)}.`, {
      cause: error,
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map(({ pos, message }) => {
    const { line, col } = lines.linePos(pos[0]);
    return `line ${line}, column ${col}: ${message.replace(/\.$/, '')}.`;
  });
  if (problems.length > 0) throw invalid(file, problems);
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // An unquoted * or & is YAML's own: an alias or an anchor.
    throw invalid(file, [`${messageOf(error)}. Put texts with * or & in quotes.`]);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(file, ['the file must hold a mapping with the key "servers" or "mcpServers".']);
  }
  return value;
}

/** A config file of an MCP client also holds what concerns that client alone: passed over, and said so. */
function withoutClientKeys(value: unknown, warnings: string[]): unknown {
  const config = value as Record<string, unknown>;
  if (typeof config.mcpServers !== 'object' || config.mcpServers === null) return value;
  const known = new Set(Object.keys(configSchema.shape));
  const kept: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(config)) {
    if (known.has(key)) kept[key] = item;
    else warnings.push(`${key}: not a key of ${APP}, passed over.`);
  }
  kept.mcpServers = Object.fromEntries(
    Object.entries(config.mcpServers).flatMap(([name, entry]: [string, unknown]) => {
      if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return [[name, entry]];
      const { type, disabled, ...rest } = entry as Record<string, unknown>;
      if (disabled === true) {
        warnings.push(`mcpServers.${name}: is disabled, passed over.`);
        return [];
      }
      const transport = typeof type === 'string' ? CLIENT_TYPES[type] : undefined;
      return [[name, transport && !('transport' in rest) ? { ...rest, transport } : rest]];
    }),
  );
  return kept;
}

/** Presets stand below what the file says itself. @throws {ProxyError} CONFIG_INVALID */
function withPresets(value: unknown): unknown {
  const config = { ...(value as Record<string, unknown>) };
  for (const key of ['servers', 'mcpServers']) {
    const entries = config[key];
    if (typeof entries !== 'object' || entries === null || Array.isArray(entries)) continue;
    config[key] = Object.fromEntries(
      Object.entries(entries).map(([name, entry]) => [name, withPreset(`${key}.${name}`, entry)]),
    );
  }
  return config;
}

function explain(issue: z.core.$ZodIssue, config: unknown): string[] {
  const at = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${[...issue.path, key].join('.')}: unknown key. ${suggestion(key, issue.path)}`,
    );
  }
  if (issue.code === 'invalid_key')
    return [`${at}: the name ${issue.issues[0]?.message ?? 'is not allowed'}.`];
  const found = issue.path.reduce<unknown>(
    (part, key) => (part as Record<PropertyKey, unknown> | undefined)?.[key],
    config,
  );
  const hidden = found === undefined || typeof found === 'object' || isSecretPlace(issue.path.map(String));
  const got = hidden ? '' : ` It is ${JSON.stringify(found)}.`;
  return [`${at}: ${issue.message.replace(/\.$/, '').replace(/^Invalid input: /, '')}.${got}`];
}

/** The known key of the same place that differs least, when one is near. */
function suggestion(key: string, path: PropertyKey[]): string {
  let place: unknown = configSchema.toJSONSchema({ io: 'input' });
  const step = (part: unknown, name: string) => (part as Record<string, unknown> | undefined)?.[name];
  for (const name of path) {
    place = step(step(place, 'properties'), String(name)) ?? step(place, 'additionalProperties');
  }
  const known = Object.keys(step(place, 'properties') ?? {});
  const [near] = known
    .map((name) => ({ name, far: distance(name.toLowerCase(), key.toLowerCase()) }))
    .filter(({ far }) => far <= 2)
    .sort((a, b) => a.far - b.far)
    .map(({ name }) => name);
  if (near) return `Did you mean "${near}"?`;
  return `Known here: ${known.filter((name) => !name.startsWith('$')).join(', ')}.`;
}

/** Levenshtein distance; both words are short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function invalid(file: string, problems: string[]): ProxyError {
  const [first = '', ...more] = problems;
  const text =
    more.length === 0 ? `: ${first}` : `:\n${problems.map((problem) => `  - ${problem}`).join('\n')}`;
  return new ProxyError('CONFIG_INVALID', `The config file ${file} cannot be used${text}`);
}
