// Runs the official MCP conformance suite, revision 2025-11-25, against our own fixture server (everything.mjs):
//
//   direct        the fixture over HTTP, without the proxy
//   proxy-http    the proxy in front of the fixture over HTTP
//   proxy-stdio   the proxy in front of the fixture over stdio
//
//   node test/conformance/run.mjs [--only TARGET] [--scenario NAME] [--keep]
//
// A scenario passes if no check of it fails or warns, and if it comes out through the proxy as it does directly: the
// same checks, the same statuses, the same payloads. A difference that has to be stands with its reason in
// expected-differences.json; one that stands there but does not occur fails too. The proxy has to be built before.
// --keep leaves the results and the logs of all processes behind, and says where.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Processes } from './processes.mjs';
import { findProblems, readResults } from './results.mjs';

/** @import { Results } from './results.mjs' */

const REVISION = '2025-11-25';
const SCENARIOS = 33;
const SCENARIO_MS = 20_000;

const fixture = path('everything.mjs');
const proxy = path('../../dist/cli/main.js');
const suite = createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/dist/index.js');

/**
 * How to start each target; all give the URL to test.
 *
 * @type {Record<string, (processes: Processes, directory: string) => Promise<string>>}
 */
const targets = {
  direct: (processes) => processes.serve('fixture', [fixture, '--http']),
  'proxy-http': async (processes, directory) => {
    const url = await processes.serve('fixture', [fixture, '--http']);
    return serveProxy(processes, directory, { url });
  },
  'proxy-stdio': (processes, directory) =>
    serveProxy(processes, directory, { command: process.execPath, args: [fixture, '--stdio'] }),
};

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, scenario: { type: 'string' }, keep: { type: 'boolean' } },
});
if (options.only !== undefined && !(options.only in targets)) {
  console.error(`--only ${options.only}: there are ${Object.keys(targets).join(', ')}`);
  process.exit(2);
}

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
  /** @type {Record<string, Record<string, string>>} */
  const expected = JSON.parse(readFileSync(path('expected-differences.json'), 'utf8'));
  // Also where it is not asked for: it is what the others are compared with.
  const direct = await runSuite('direct');
  let passed = 0;
  let failed = 0;
  printRow('target', 'scenarios', 'checks passed', 'checks failed', 'warnings');
  for (const target of options.only ? [options.only] : Object.keys(targets)) {
    const results = target === 'direct' ? direct : await runSuite(target).catch(report);
    const statuses = [...results.values()].flat().map(({ status }) => status);
    const count = (/** @type {string} */ wanted) => statuses.filter((status) => status === wanted).length;
    printRow(target, results.size, count('SUCCESS'), count('FAILURE'), count('WARNING'));

    const excuses = expected[target] ?? {};
    const known = options.scenario ? [] : Object.keys(excuses);
    for (const scenario of new Set([...direct.keys(), ...results.keys(), ...known])) {
      const [checks, directChecks] = [results, direct].map((from) => from.get(scenario) ?? []);
      const problems = findProblems(scenario, checks, directChecks, excuses[scenario]);
      if (problems.length === 0) passed++;
      else failed++;
      for (const problem of problems) console.log(`  ${scenario}: ${problem}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/**
 * @param {string} target
 * @returns {Promise<Results>}
 */
async function runSuite(target) {
  const directory = join(scratch, target);
  mkdirSync(directory);
  const processes = new Processes(directory, interruption.signal);
  try {
    const url = await targets[target](processes, directory);
    const output = join(directory, 'results');
    const printed = await processes.run('suite', [
      ...['--import', new URL('node20.mjs', import.meta.url).href, suite, 'server', '--url', url],
      ...['--suite', 'all', '--spec-version', REVISION, '--timeout', String(SCENARIO_MS), '-o', output],
      ...(options.scenario ? ['--scenario', options.scenario] : []),
    ]);
    const results = readResults(output);
    const wanted = options.scenario ? 1 : SCENARIOS;
    if (results.size === wanted) return results;
    throw new Error(`the suite has run ${results.size} of ${wanted} scenarios:\n${printed.slice(-2000)}`);
  } finally {
    await processes.stop();
  }
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
  console.log(String(target).padEnd(12) + counts.map((cell) => String(cell).padStart(15)).join(''));
}

/** @param {string} relative */
function path(relative) {
  return fileURLToPath(new URL(relative, import.meta.url));
}
