import { execFileSync } from 'node:child_process';
import { until, type ProxyProcess } from './proxy.js';

/** Processes whose parent is that one, with their command lines. */
export function childrenOf(pid: number): { pid: number; command: string }[] {
  const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' }).split('\n');
  return lines
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .flatMap((match) =>
      match && Number(match[2]) === pid ? [{ pid: Number(match[1]), command: match[3] ?? '' }] : [],
    );
}

/** The process that serves; the one that was started is its keeper. */
export function workerOf(proxy: ProxyProcess): number {
  const worker = childrenOf(proxy.pid).find(({ command }) => command.includes('main.js worker'));
  if (!worker) throw new Error('there is no worker');
  return worker.pid;
}

/** Kills the worker and waits for the next one to serve. */
export async function killWorker(proxy: ProxyProcess): Promise<void> {
  const next = nextWorker(proxy);
  process.kill(workerOf(proxy), 'SIGKILL');
  await next;
}

/** Has the worker leave in order and waits for the next one to serve. */
export async function handOver(proxy: ProxyProcess): Promise<void> {
  const next = nextWorker(proxy);
  process.kill(proxy.pid, 'SIGHUP');
  await next;
}

async function nextWorker(proxy: ProxyProcess): Promise<void> {
  const served = proxy.stderr.split('goes on where the last one ended').length;
  await until(() => {
    if (proxy.process.exitCode !== null) throw new Error(`the keeper left:\n${proxy.stderr}`);
    return proxy.stderr.split('goes on where the last one ended').length > served;
  });
}
