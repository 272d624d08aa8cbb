// What the kernel says about a process and those it started (Linux; elsewhere the figures stay blank), and the way
// to end them.

import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const TICK_US = 10_000;

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function threads(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The fields after the command's name, which may itself hold blanks and brackets. */
function stat(pid) {
  const text = read(`/proc/${pid}/stat`);
  return text?.slice(text.lastIndexOf(')') + 2).split(' ');
}

const children = (pid) =>
  threads(pid).flatMap(
    (tid) => read(`/proc/${pid}/task/${tid}/children`)?.split(' ').filter(Boolean).map(Number) ?? [],
  );

function descendants(pid, keep = () => true) {
  return children(pid)
    .filter(keep)
    .flatMap((child) => [child, ...descendants(child, keep)]);
}

/** Is this a server behind the contestant, or the shell that a contestant starts it through? */
function runsServer(pid, server) {
  const script = read(`/proc/${pid}/cmdline`)?.split('\0')[1];
  return script === server || script === '-c';
}

/** A contestant may be several processes (keeper and worker): all count, but for the servers behind it. */
export const ownProcesses = (pid, server) => [
  pid,
  ...descendants(pid, (child) => !runsServer(child, server)),
];

/** CPU time of a process in us. schedstat counts ns but a thread at a time; ticks of 10 ms are too coarse for a short run. */
function cpuOf(pid) {
  const perThread = threads(pid).map((tid) =>
    Number(read(`/proc/${pid}/task/${tid}/schedstat`)?.split(' ')[0]),
  );
  const total = perThread.reduce((sum, ns) => sum + (ns || 0), 0) / 1000;
  if (total > 0) return total;
  const fields = stat(pid);
  return fields && (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

export const cpuTimes = (pids) => new Map(pids.map((pid) => [pid, cpuOf(pid)]));

export function cpuSince(before, pids) {
  const used = [...cpuTimes(pids)].map(([pid, now]) => now - (before.get(pid) ?? 0));
  const total = used.reduce((sum, us) => sum + us, 0);
  return Number.isFinite(total) ? total : undefined;
}

/** Resident MB. File pages (the node binary above all) are shared between the processes of one contestant: counted once. */
export function residentMB(pids) {
  let own = 0;
  let files = 0;
  for (const pid of pids) {
    const status = read(`/proc/${pid}/status`);
    const kB = (field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status ?? '')?.[1]);
    own += kB('RssAnon') + kB('RssShmem');
    files = Math.max(files, kB('RssFile'));
  }
  const total = (own + files) / 1024;
  return Number.isFinite(total) ? total : undefined;
}

/** Start time beside the pid, so that a pid given to somebody else meanwhile is never signalled. */
const identity = (pid) => ({ pid, started: stat(pid)?.[19] });
const isAlive = ({ pid, started }) => {
  const fields = stat(pid);
  return fields !== undefined && fields[0] !== 'Z' && fields[19] === started;
};

async function until(condition, ms) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(10)) if (condition()) return true;
  return condition();
}

/** Ends a child we started and whatever it leaves behind; resolves to the number of processes it left. */
export async function stop(child, graceMs = 8000) {
  if (child.exitCode !== null || child.signalCode !== null) return 0;
  const family = descendants(child.pid).map(identity);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  if (!(await Promise.race([exited, sleep(graceMs, false, { ref: false })]))) child.kill('SIGKILL');
  await exited;
  if (await until(() => !family.some(isAlive), 3000)) return 0;
  const left = family.filter(isAlive);
  for (const { pid } of left) process.kill(pid, 'SIGKILL');
  return left.length;
}
