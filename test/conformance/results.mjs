import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

/**
 * @typedef {{ id: string, status: string, errorMessage?: string, details?: object }} Check
 * @typedef {Map<string, Check[]>} Results the checks of each scenario
 * @typedef {{ name: string, shown: string }} Difference what differs, and how
 */

const SCENARIO_DIRECTORY = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/;

/** What the proxy adds to results of its own. */
const PROXY_META = 'mcp-session-proxy/session';

/** These look at the HTTP door, which is the proxy's own: session ids, headers, event IDs and the words of refusals differ. */
const ABOUT_THE_DOOR = new Set([
  'server-initialize',
  'server-session-lifecycle',
  'server-sse-polling',
  'server-sse-multiple-streams',
  'dns-rebinding-protection',
  'server-stateless',
  'http-header-validation',
  'http-custom-header-server-validation',
]);

/**
 * @param {string} directory what the suite was given as `--output-dir`
 * @returns {Results}
 */
export function readResults(directory) {
  /** @type {Results} */
  const results = new Map();
  for (const name of existsSync(directory) ? readdirSync(directory) : []) {
    const scenario = SCENARIO_DIRECTORY.exec(name)?.[1];
    const file = join(directory, name, 'checks.json');
    // A scenario that throws leaves its directory without the file.
    if (scenario) results.set(scenario, existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : []);
  }
  return results;
}

/**
 * How a scenario comes out otherwise than directly: checks with other statuses, else payloads with other parts. What is
 * told for information only does not count.
 *
 * @param {string} scenario
 * @param {Check[]} checks
 * @param {Check[]} direct the same scenario without the proxy
 * @returns {Difference[]}
 */
export function findDifferences(scenario, checks, direct) {
  const [there, here] = [direct, checks].map((from) => from.filter(({ status }) => status !== 'INFO'));
  const ids = [...new Set([...there, ...here].map(({ id }) => id))];
  const statuses = ids.flatMap((id) => {
    const [expected, found] = [there, here].map((from) => statusesOf(from, id));
    const why = here.find((check) => check.id === id && check.errorMessage)?.errorMessage;
    return expected === found ? [] : [{ name: `${id}: ${expected} → ${found}`, shown: why ?? '' }];
  });
  if (statuses.length > 0 || ABOUT_THE_DOOR.has(scenario)) return statuses;
  return here.flatMap(({ details }, place) => {
    const { id, details: twin } = there[place];
    return firstDifference(comparable(twin), comparable(details), id) ?? [];
  });
}

/**
 * @param {Check[]} checks
 * @param {string} id
 */
function statusesOf(checks, id) {
  const statuses = checks.filter((check) => check.id === id).map(({ status }) => status);
  return statuses.join(' ') || 'none';
}

/**
 * Without what the proxy adds, and with the same stand-in for what differs from run to run.
 *
 * @param {unknown} details
 */
function comparable(details) {
  return JSON.parse(JSON.stringify(details ?? null), (key, part) => {
    if (key === 'requestState') return 'opaque';
    if (key !== '_meta' || !(PROXY_META in part)) return part;
    const { [PROXY_META]: _, ...meta } = part;
    return Object.keys(meta).length > 0 ? meta : undefined;
  });
}

/**
 * @param {unknown} direct
 * @param {unknown} here
 * @param {string} path
 * @returns {Difference | undefined}
 */
function firstDifference(direct, here, path) {
  if (isDeepStrictEqual(direct, here)) return undefined;
  if (isObject(direct) && isObject(here)) {
    for (const key of Object.keys({ ...direct, ...here })) {
      const found = firstDifference(direct[key], here[key], `${path}.${key}`);
      if (found) return found;
    }
  }
  return { name: path, shown: `directly ${show(direct)}, here ${show(here)}` };
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return typeof value === 'object' && value !== null;
}

/** @param {unknown} value */
function show(value) {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
