import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Catalog } from '../catalog/catalog.js';
import { systemClock } from '../clock.js';
import { loadConfig } from '../config/load.js';
import { findConfigFile } from '../config/places.js';
import type { ServerConfig } from '../config/schema.js';
import { driversOf } from '../downstream/drivers.js';
import { messageOf } from '../errors.js';
import type { LogLevel } from '../log-levels.js';
import { setLogLevel } from '../logger.js';
import { PROXY_PROFILE } from '../protocol/client.js';
import { isFields, type Fields } from '../protocol/messages.js';
import { Binding } from '../session/binding.js';
import { Circuit } from '../session/circuit.js';
import { openSqliteStore } from '../store/sqlite.js';
import type { Store } from '../store/types.js';
import { EXIT_FAILED } from './exit.js';
import { table } from './table.js';

/** Clients leave out tools, or refuse all, where names are longer or tools are more than that. */
const LONGEST_NAME = 60;
const MOST_TOOLS = 80;

interface CheckOptions {
  config?: string;
  json?: true;
  logLevel: LogLevel;
}

/** What one server offers, by its names as clients see them; or why it does not. */
interface Finding {
  server: string;
  ok: boolean;
  error?: string;
  name?: string;
  version?: string;
  protocolVersion?: string;
  /** Settings of a known server it starts from. */
  preset?: string;
  tools: string[];
  resources: string[];
  prompts: string[];
}

const LISTS = [
  ['tools', 'tools/list', 'name'],
  ['resources', 'resources/list', 'uri'],
  ['prompts', 'prompts/list', 'name'],
] as const;

/** `mcp-session-proxy check`: the config is sound, each server starts, and this is what it offers. */
export async function check(options: CheckOptions): Promise<void> {
  setLogLevel(options.logLevel);
  const config = loadConfig(options.config ?? findConfigFile());
  const store = openSqliteStore(':memory:');
  const folder = mkdtempSync(join(tmpdir(), 'mcp-session-proxy-check-'));
  try {
    const drivers = driversOf(systemClock, { started: () => {}, ended: () => {} });
    const catalog = new Catalog(config.servers, config.sessions.retention);
    const findings = await Promise.all(
      config.servers.map((server) => inspect(server, { drivers, store, folder, catalog })),
    );
    const warnings = [...config.warnings, ...warningsOf(findings)];
    if (options.json)
      console.log(JSON.stringify({ file: config.file, warnings, servers: findings }, null, 2));
    else print(config.file, warnings, findings);
    if (findings.some(({ ok }) => !ok)) process.exitCode = EXIT_FAILED;
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Surroundings {
  drivers: ReturnType<typeof driversOf>;
  store: Store;
  folder: string;
  catalog: Catalog;
}

async function inspect(
  config: ServerConfig,
  { drivers, store, folder, catalog }: Surroundings,
): Promise<Finding> {
  const { preset } = config;
  const finding: Finding = {
    server: config.name,
    ok: true,
    ...(preset === undefined ? {} : { preset }),
    tools: [],
    resources: [],
    prompts: [],
  };
  const audience = { notify: () => {}, outlet: () => undefined };
  const binding = new Binding({
    ...drivers,
    store,
    clock: systemClock,
    questions: 0,
    circuit: new Circuit({ clock: systemClock, healthy: 0 }),
    config,
    owner: 'check',
    audience,
    companions: drivers.companionsOf(config),
  });
  try {
    await binding.ready({
      context: {
        client: PROXY_PROFILE,
        variables: { 'session.dir': folder, 'session.id': 'check', 'session.name': 'check' },
      },
      prepare: () => Promise.resolve(),
    });
    const { serverInfo, protocolVersion } = binding.description ?? {};
    if (isFields(serverInfo)) Object.assign(finding, { name: serverInfo.name, version: serverInfo.version });
    Object.assign(finding, { protocolVersion });
    for (const [list, method, key] of LISTS) {
      if (binding.offers(list)) finding[list] = await listAll(binding, catalog, list, method, key);
    }
  } catch (error) {
    finding.ok = false;
    finding.error = messageOf(error);
  } finally {
    await binding.release('was stopped after the check');
  }
  return finding;
}

async function listAll(
  binding: Binding,
  catalog: Catalog,
  list: string,
  method: string,
  key: string,
): Promise<string[]> {
  const names: string[] = [];
  let params: Fields = {};
  for (;;) {
    const outcome = await binding.call(method, params);
    if ('error' in outcome) throw new Error(`${method}: ${outcome.error.message}`);
    const items = catalog.expose(binding.config.name, method, outcome.result)[list];
    if (Array.isArray(items)) names.push(...items.map((item: Fields) => String(item[key])));
    if (outcome.result.nextCursor === undefined) return names;
    params = { cursor: outcome.result.nextCursor };
  }
}

/** What clients may not take, and how to mend it. */
function warningsOf(findings: readonly Finding[]): string[] {
  const tools = findings.flatMap(({ server, tools: names }) => names.map((name) => ({ server, name })));
  const long = tools.filter(({ name }) => name.length > LONGEST_NAME);
  return [
    ...long.map(
      ({ server, name }) =>
        `${name} has ${name.length} characters; some clients take ${LONGEST_NAME}. Shorten it with servers.${server}.tools.prefix or .rename.`,
    ),
    ...(tools.length > MOST_TOOLS
      ? [
          `There are ${tools.length} tools; some clients take ${MOST_TOOLS}. Leave some out with servers.NAME.tools.include or .exclude.`,
        ]
      : []),
  ];
}

function print(file: string, warnings: readonly string[], findings: Finding[]): void {
  console.log(`${file} is valid.`);
  for (const warning of warnings) console.log(`  warning: ${warning}`);
  const rows = [
    ['SERVER', 'STATE', 'NAME', 'REVISION', 'TOOLS', 'RESOURCES', 'PROMPTS'],
    ...findings.map(({ server, ok, name, version, protocolVersion, tools, resources, prompts }) => [
      server,
      ok ? 'ok' : 'FAILED',
      name === undefined ? '' : `${name} ${version ?? ''}`.trim(),
      protocolVersion ?? '',
      String(tools.length),
      String(resources.length),
      String(prompts.length),
    ]),
  ];
  console.log();
  console.log(table(rows));
  for (const { server, error, preset, tools } of findings) {
    console.log();
    if (preset !== undefined && preset !== 'none')
      console.log(`${server} starts from the preset "${preset}".`);
    console.log(error === undefined ? `${server}: ${tools.join(', ') || 'no tools'}` : error);
  }
}
