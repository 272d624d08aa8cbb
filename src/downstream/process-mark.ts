import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/**
 * Tells a process from a later one of the same number: its number, and when it was started in which boot.
 * @returns undefined when there is no such process, or the system does not tell
 */
export function markOf(pid: number): { pid: number; started: string } | undefined {
  try {
    if (process.platform === 'linux') {
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The name in parentheses may itself hold spaces and parentheses; state is the field after it, start the 20th.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' ? undefined : { pid, started: `${boot}/${fields[19]}` };
    }
    if (process.platform === 'win32') return undefined;
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
    return started === '' ? undefined : { pid, started };
  } catch {
    return undefined; // no such process
  }
}

/** Whether the very process of that mark still runs. */
export function isRunning(mark: { pid: number; started: string }): boolean {
  if (mark.started === UNMARKED) return exists(mark.pid);
  return markOf(mark.pid)?.started === mark.started;
}

/** Stands for a start that the system does not tell. */
export const UNMARKED = 'unknown';

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
