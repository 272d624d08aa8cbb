import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';

/** Stands in the environment of every server, and so of whatever it starts, in whatever group or session that is. */
export const MARKER = 'MCP_SESSION_PROXY_CHILD';

/** Of one server; nobody else can guess it. */
export function newMarker(): string {
  return randomBytes(16).toString('hex');
}

/** Sends a signal to every process that carries one of the markers. Linux only; elsewhere there is no way to look. */
export function signalMarked(markers: readonly string[], signal: NodeJS.Signals): number[] {
  if (process.platform !== 'linux' || markers.length === 0) return [];
  const entries = markers.map((marker) => `${MARKER}=${marker}`);
  const found = processes().filter((pid) => {
    const environment = read(`/proc/${pid}/environ`).split('\0');
    return entries.some((entry) => environment.includes(entry));
  });
  for (const pid of found) {
    try {
      process.kill(pid, signal);
    } catch {
      // it left meanwhile
    }
  }
  return found;
}

/**
 * Bytes of memory that a process, its group and everything it started hold; what several hold together counts once.
 * Undefined where the system does not tell.
 */
export function memoryOf(pid: number): number | undefined {
  if (process.platform !== 'linux') return undefined;
  const family = new Set([pid]);
  const others = new Map(processes().map((one) => [one, stationOf(one)]));
  for (let before = 0; before < family.size;) {
    before = family.size;
    for (const [one, { parent, group }] of others) if (family.has(parent) || group === pid) family.add(one);
  }
  const held = [...family].map((one) => /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${one}/smaps_rollup`))?.[1]);
  return held.every((one) => one === undefined)
    ? undefined
    : held.reduce((sum, kibibytes) => sum + Number(kibibytes ?? 0) * 1024, 0);
}

function processes(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** The name in parentheses may itself hold spaces and parentheses; state, parent and group stand behind it. */
function stationOf(pid: number): { parent: number; group: number } {
  const stat = read(`/proc/${pid}/stat`);
  const [, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { parent: Number(parent), group: Number(group) };
}

/** Empty for a process that is gone, or somebody else's. */
function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}
