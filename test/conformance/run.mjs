// Runs the official MCP conformance suite, revisions 2025-11-25 and 2026-07-28, against our own fixture servers
// (everything.mjs), directly and with the proxy between:
//
//   direct                       the fixture of the revision's own era over HTTP, without the proxy
//   legacy-http, legacy-stdio    the proxy in front of the fixture of revision 2025-11-25
//   modern-http, modern-stdio    the proxy in front of the fixture of revision 2026-07-28
//
//   node test/conformance/run.mjs [--only REVISION/TARGET] [--scenario NAME] [--keep]
//
// Directly no check may fail or warn. Through the proxy all has to come out as it does directly: the same checks, the
// same statuses, the same payloads. A difference that has to be stands with its reason in expected-differences.json; one
// that stands there but does not occur fails too. The proxy has to be built before. --keep leaves the results and the
// logs of all processes behind, and says where.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Processes } from './processes.mjs';
import { findDifferences, readResults } from './results.mjs';

/**
 * @import { Difference, Results } from './results.mjs'
 *
 * @typedef {'legacy' | 'modern'} Era
 * @typedef {{ revision: string, era: Era, scenarios: number }} Revision
 * @typedef {{ why: string, targets: string[], scenarios: Record<string, string[]> }} Expected
 */

/** @type {Revision[]} */
const REVISIONS = [
  { revision: '2025-11-25', era: 'legacy', scenarios: 33 },
  { revision: '2026-07-28', era: 'modern', scenarios: 40 },
];
const SCENARIO_MS = 20_000;

/** Targets under test at the same time: the suite waits more than it works. */
const AT_A_TIME = 2;

const fixture = path('everything.mjs');
const proxy = path('../../dist/cli/main.js');
const suite = createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/dist/index.js');

/**
 * How to start each target, for a suite of that era; all give the URL to test.
 *
 * @type {Record<string, (era: Era, processes: Processes, directory: string) => Promise<string>>}
 */
const targets = {
  direct: (era, processes) => processes.serve('fixture', [fixture, era, 'http']),
  ...throughProxy('legacy'),
  ...throughProxy('modern'),
};

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, scenario: { type: 'string' }, keep: { type: 'boolean' } },
});

const interruption = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interruption.abort());

const scratch = mkdtempSync(join(tmpdir(), 'mcp-session-proxy-conformance-'));
try {
  process.exitCode = await main();
} catch (error) {
  if (!interruption.signal.aborted) console.error(/** @type {Error} */ (error).message);
  process.exitCode = interruption.signal.aborted ? 130 : 1;
} finally {
  if (options.keep) console.log(`kept: ${scratch}`);
  else rmSync(scratch, { recursive: true, force: true });
}

/** @returns {Promise<number>} the exit code */
async function main() {
  const names = REVISIONS.flatMap(({ revision }) =>
    Object.keys(targets).map((name) => `${revision}/${name}`),
  );
  if (options.only !== undefined && !names.includes(options.only)) {
    console.error(`--only ${options.only}: there are ${names.join(', ')}`);
    return 2;
  }
  /** @type {Expected[]} */
  const expected = JSON.parse(readFileSync(path('expected-differences.json'), 'utf8'));
  let passed = 0;
  let failed = 0;
  printRow('target', 'scenarios', 'passed', 'failed', 'warnings', 'different');
  for (const revision of REVISIONS) {
    const chosen = Object.keys(targets).filter((name) => {
      return options.only === undefined || options.only === `${revision.revision}/${name}`;
    });
    if (chosen.length === 0) continue;
    // Also where it is not asked for: it is what the others are compared with.
    const direct = await runSuite(revision, 'direct');
    const found = new Map([['direct', direct]]);
    const queue = chosen.filter((target) => target !== 'direct').values();
    const work = async () => {
      for (const target of queue) found.set(target, await runSuite(revision, target).catch(report));
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, work));
    for (const target of chosen) {
      const name = `${revision.revision}/${target}`;
      const results = found.get(target) ?? new Map();
      const excuses = expected.filter(({ targets }) => targets.includes(name));
      const known = options.scenario ? [] : excuses.flatMap(({ scenarios }) => Object.keys(scenarios));
      const scenarios = [...new Set([...direct.keys(), ...results.keys(), ...known])];
      const judged = scenarios.map((scenario) => {
        const [checks, twins] = [results, direct].map((from) => from.get(scenario) ?? []);
        const differences = target === 'direct' ? faultsOf(checks) : findDifferences(scenario, checks, twins);
        return { scenario, differences, problems: problemsOf(scenario, differences, excuses) };
      });

      const statuses = [...results.values()].flat().map(({ status }) => status);
      const count = (/** @type {string} */ wanted) => statuses.filter((status) => status === wanted).length;
      const different = judged.filter(({ differences }) => differences.length > 0).length;
      printRow(name, results.size, count('SUCCESS'), count('FAILURE'), count('WARNING'), different);
      for (const { scenario, problems } of judged) {
        if (problems.length === 0) passed++;
        else failed++;
        for (const problem of problems) console.log(`  ${scenario}: ${problem}`);
      }
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/**
 * What is wrong without any proxy.
 *
 * @param {import('./results.mjs').Check[]} checks
 * @returns {Difference[]}
 */
function faultsOf(checks) {
  if (!checks.some(({ status }) => status === 'SUCCESS'))
    return [{ name: 'no check has succeeded', shown: '' }];
  return checks
    .filter(({ status }) => status !== 'SUCCESS' && status !== 'INFO')
    .map(({ id, status, errorMessage }) => ({ name: `${id} ${status}`, shown: errorMessage ?? '' }));
}

/**
 * @param {string} scenario
 * @param {Difference[]} differences
 * @param {Expected[]} expected
 */
function problemsOf(scenario, differences, expected) {
  const excuses = expected.flatMap(({ why, scenarios }) =>
    (scenarios[scenario] ?? []).map((name) => ({ name, why })),
  );
  const unknown = differences.filter(({ name }) => !excuses.some((excuse) => excuse.name === name));
  const gone = excuses.filter(({ name }) => !differences.some((difference) => difference.name === name));
  return [
    ...unknown.map(({ name, shown }) => `${name}${shown && `: ${shown}`}`),
    ...gone.map(({ name, why }) => `expected, but not so any more: ${name} (${why})`),
  ];
}

/**
 * @param {Revision} revision
 * @param {string} target
 * @returns {Promise<Results>}
 */
async function runSuite({ revision, era, scenarios }, target) {
  const directory = join(scratch, revision, target);
  mkdirSync(directory, { recursive: true });
  const processes = new Processes(directory, interruption.signal);
  try {
    const url = await targets[target](era, processes, directory);
    const output = join(directory, 'results');
    const printed = await processes.run('suite', [
      ...['--import', new URL('node20.mjs', import.meta.url).href, suite, 'server', '--url', url],
      ...['--suite', 'all', '--spec-version', revision, '--timeout', String(SCENARIO_MS), '-o', output],
      ...(options.scenario ? ['--scenario', options.scenario] : []),
    ]);
    const results = readResults(output);
    const wanted = options.scenario ? 1 : scenarios;
    if (results.size === wanted) return results;
    throw new Error(`the suite has run ${results.size} of ${wanted} scenarios:\n${printed.slice(-2000)}`);
  } finally {
    await processes.stop();
  }
}

/**
 * @param {Era} serverEra
 * @returns {typeof targets}
 */
function throughProxy(serverEra) {
  return {
    [`${serverEra}-http`]: async (_era, processes, directory) => {
      const url = await processes.serve('fixture', [fixture, serverEra, 'http']);
      return serveProxy(processes, directory, { url });
    },
    [`${serverEra}-stdio`]: (_era, processes, directory) =>
      serveProxy(processes, directory, { command: process.execPath, args: [fixture, serverEra, 'stdio'] }),
  };
}

/**
 * @param {Processes} processes
 * @param {string} directory
 * @param {object} server
 */
function serveProxy(processes, directory, server) {
  const config = join(directory, 'config.yaml');
  // JSON is YAML too.
  writeFileSync(config, JSON.stringify({ store: join(directory, 's.db'), servers: { everything: server } }));
  return processes.serve('proxy', [proxy, 'serve', '--http', '127.0.0.1:0', '--config', config]);
}

/**
 * A target that does not start has no results, so that all its scenarios fail.
 *
 * @param {Error} error
 * @returns {Results}
 */
function report(error) {
  if (interruption.signal.aborted) throw error;
  console.log(error.message);
  return new Map();
}

/** @param {(string | number)[]} cells */
function printRow(...[target, ...counts]) {
  console.log(String(target).padEnd(24) + counts.map((cell) => String(cell).padStart(11)).join(''));
}

/** @param {string} relative */
function path(relative) {
  return fileURLToPath(new URL(relative, import.meta.url));
}
