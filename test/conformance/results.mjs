import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

/**
 * @typedef {{ id: string, status: string, errorMessage?: string, details?: object }} Check
 * @typedef {Map<string, Check[]>} Results the checks of each scenario
 */

const SCENARIO_DIRECTORY = /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/;

/** What the proxy adds to results of its own. */
const PROXY_META = 'mcp-session-proxy/session';

/** These look at the HTTP door, which is the proxy's own: session ids, status codes, headers and event IDs differ. */
const ABOUT_THE_DOOR = new Set([
  'server-initialize',
  'server-session-lifecycle',
  'server-sse-polling',
  'server-sse-multiple-streams',
  'dns-rebinding-protection',
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
 * What speaks against a scenario. An expected difference excuses neither a failed check nor a warning.
 *
 * @param {string} scenario
 * @param {Check[]} checks
 * @param {Check[]} direct the same scenario without the proxy
 * @param {string | undefined} expected why the two may differ, if they may
 * @returns {string[]}
 */
export function findProblems(scenario, checks, direct, expected) {
  if (!checks.some(({ status }) => status === 'SUCCESS')) return ['no check has succeeded'];
  const problems = checks
    .filter(({ status }) => status !== 'SUCCESS' && status !== 'INFO')
    .map(({ id, status, errorMessage }) => `${id} ${status}: ${errorMessage}`);

  const differences = findDifferences(scenario, checks, direct);
  if (expected === undefined) return [...problems, ...differences];
  return differences.length > 0
    ? problems
    : [...problems, `no difference any more, but expected: ${expected}`];
}

/**
 * @param {string} scenario
 * @param {Check[]} checks
 * @param {Check[]} direct
 */
function findDifferences(scenario, checks, direct) {
  const outcomes = checks.map(outcome);
  const directOutcomes = direct.map(outcome);
  const differences = [
    ...without(directOutcomes, outcomes).map((missing) => `only directly: ${missing}`),
    ...without(outcomes, directOutcomes).map((added) => `only here: ${added}`),
  ];
  if (differences.length > 0 || ABOUT_THE_DOOR.has(scenario)) return differences;
  return checks.flatMap(({ id, details }) => {
    const twin = direct.find((check) => check.id === id);
    return firstDifference(withoutProxyMeta(twin?.details), withoutProxyMeta(details), id) ?? [];
  });
}

/** @param {Check} check */
function outcome({ id, status }) {
  return `${id} ${status}`;
}

/**
 * @param {string[]} items
 * @param {string[]} removed each takes away one
 */
function without(items, removed) {
  const left = [...items];
  for (const item of removed) {
    const place = left.indexOf(item);
    if (place >= 0) left.splice(place, 1);
  }
  return left;
}

/** @param {unknown} value */
function withoutProxyMeta(value) {
  return JSON.parse(JSON.stringify(value ?? null), (key, part) => {
    if (key !== '_meta' || !(PROXY_META in part)) return part;
    const { [PROXY_META]: _, ...meta } = part;
    return Object.keys(meta).length > 0 ? meta : undefined;
  });
}

/**
 * @param {unknown} direct
 * @param {unknown} here
 * @param {string} path
 * @returns {string | undefined}
 */
function firstDifference(direct, here, path) {
  if (isDeepStrictEqual(direct, here)) return undefined;
  if (isObject(direct) && isObject(here)) {
    for (const key of Object.keys({ ...direct, ...here })) {
      const found = firstDifference(direct[key], here[key], `${path}.${key}`);
      if (found) return found;
    }
  }
  return `${path}: directly ${show(direct)}, here ${show(here)}`;
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
