// node test/bench/run.mjs [--quick] [--only a,b] [--scenarios 1,8,64,blob] [--out FILE]
// All contestants in one run, in rounds of rotated order, each run on fresh processes. Exit code 1 when a reply was
// crossed or lost or anything failed; the goals are only reported.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ECHO_SERVER, contestants, start } from './contestants.mjs';
import { cpuSince, cpuTimes, ownProcesses, residentMB, stop } from './processes.mjs';
import { Figures, renderFigures, renderGoals } from './report.mjs';

// Calls are totals over all sessions. The warm-up is long enough for V8 to have compiled what is measured.
const SCENARIOS = [
  { name: '1', sessions: 1, tool: 'echo', warmUp: 3000, calls: 4000 },
  { name: '8', sessions: 8, tool: 'echo', warmUp: 3200, calls: 4800 },
  { name: '64', sessions: 64, tool: 'echo', warmUp: 3840, calls: 6400 },
  { name: 'blob', sessions: 1, tool: 'blob', bytes: 5_000_000, warmUp: 5, calls: 30 },
];
const QUICK = {
  1: { warmUp: 100, calls: 400 },
  8: { warmUp: 160, calls: 400 },
  64: { warmUp: 320, calls: 640 },
  blob: { warmUp: 2, calls: 6 },
};
const ROUNDS = 3;
const COLD_STARTS = 5;
const LOAD = fileURLToPath(new URL('load.mjs', import.meta.url));

const running = new Set();
let isStopping = false;
const scratch = mkdtempSync(join(tmpdir(), 'mcp-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

const note = (text) => process.stderr.write(`${text}\n`);

function usage(message) {
  note(message);
  process.exit(2);
}

function choose(list, all, what) {
  const chosen = list === undefined ? all : list.split(',');
  const unknown = chosen.find((name) => !all.includes(name));
  if (unknown !== undefined)
    usage(`unknown ${what} ${JSON.stringify(unknown)}; there are: ${all.join(', ')}`);
  return all.filter((name) => chosen.includes(name));
}

function options() {
  const string = { type: 'string' };
  const known = { only: string, scenarios: string, out: string, quick: { type: 'boolean', default: false } };
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    return usage(error.message);
  }
}

const begin = (name) => start(name, mkdtempSync(join(scratch, `${name}-`)), (child) => running.add(child));

async function end(child) {
  const left = await stop(child);
  running.delete(child);
  if (left > 0) note(`  ${left} processes were left behind and had to be killed`);
}

async function stopEverything() {
  isStopping = true;
  // The newest first: a load generator ends before the contestant that would go on opening sessions for it.
  while (running.size > 0) await end([...running].at(-1));
}

/** The load generator's next word; its end or its complaint is a failure. */
async function hear(load) {
  const [message] = await Promise.race([
    once(load, 'message'),
    once(load, 'exit').then(([code]) => [{ failed: `the load generator exited with ${code}` }]),
  ]);
  if (message.failed) throw new Error(message.failed);
  return message;
}

async function measure(name, scenario) {
  const contestant = name === 'direct' ? undefined : await begin(name);
  const load = fork(LOAD);
  running.add(load);
  const processes = () => (contestant ? ownProcesses(contestant.child.pid, ECHO_SERVER) : []);
  try {
    const { isolates } = contestants[name];
    load.send({ ...scenario, isolates, url: contestant?.url, server: ECHO_SERVER });
    await hear(load);
    const before = cpuTimes(processes());
    load.send('go');
    const figures = await hear(load);
    if (contestant) {
      const pids = processes();
      figures.cpu = cpuSince(before, pids) / figures.calls;
      figures.rss = residentMB(pids);
    }
    load.send('close');
    await Promise.race([once(load, 'exit'), once(AbortSignal.timeout(5000), 'abort')]);
    return figures;
  } catch (error) {
    const stderr = contestant?.stderr().trim().slice(-300);
    throw new Error(stderr ? `${error.message}; stderr: ${stderr}` : error.message);
  } finally {
    await end(load);
    if (contestant) await end(contestant.child);
  }
}

async function round(figures, number, names, scenarios) {
  for (const [index, scenario] of scenarios.entries()) {
    const turn = (number + index) % names.length;
    for (const name of [...names.slice(turn), ...names.slice(0, turn)]) {
      if (isStopping) throw new Error('interrupted');
      note(`round ${number + 1}, scenario ${scenario.name}: ${name}`);
      const run = await measure(name, scenario).catch((error) => ({
        tally: { crossed: 0, lost: 0, failed: 1, messages: [error.message] },
      }));
      for (const message of run.tally.messages) note(`  ${message}`);
      figures.add({ ...run, name, scenario: scenario.name, round: number });
    }
  }
}

async function coldStarts(figures, names) {
  for (let i = 0; i < COLD_STARTS; i += 1) {
    for (const name of names.filter((n) => n !== 'direct')) {
      note(`cold start ${i + 1}: ${name}`);
      const { child, startMs } = await begin(name);
      await end(child);
      figures.coldStarts.set(name, [...(figures.coldStarts.get(name) ?? []), startMs]);
    }
  }
}

async function main() {
  const { only, scenarios: wanted, quick, out } = options();
  const names = choose(only, Object.keys(contestants), 'contestant');
  const all = SCENARIOS.map(({ name }) => name);
  const chosen = choose(wanted, all, 'scenario');
  const scenarios = SCENARIOS.filter(({ name }) => chosen.includes(name)).map((scenario) =>
    quick ? { ...scenario, ...QUICK[scenario.name] } : scenario,
  );
  const rounds = quick ? 1 : ROUNDS;

  const figures = new Figures();
  await coldStarts(figures, names);
  for (let number = 0; number < rounds; number += 1) await round(figures, number, names, scenarios);

  const date = new Date().toISOString().slice(0, 10);
  const kind = `${rounds} round${rounds > 1 ? 's' : ', quick: indicative only'}`;
  const machine = `${date}, Node ${process.version}, ${process.platform}, ${availableParallelism()} CPUs; medians of ${kind}.`;
  const report = [machine, renderFigures(figures, names, scenarios), renderGoals(figures)].join('\n\n');
  process.stdout.write(`${report}\n`);
  if (out !== undefined) writeFileSync(out, `# Bench\n\n${report}\n`);

  const faults = figures.faults();
  for (const { name, scenario, round: number, tally } of faults)
    note(`FAILED ${name}, scenario ${scenario}, round ${number + 1}: ${tally.messages.join('; ')}`);
  return faults.length > 0 ? 1 : 0;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.once(signal, () => stopEverything().finally(() => process.exit(130)));

process.exitCode = await main()
  .catch((error) => {
    note(error.stack);
    return 1;
  })
  .finally(stopEverything);
