import { spawn, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { baseEnvironment } from './environment.js';
import { log } from '../logger.js';
import { MARKER } from './strays.js';

/**
 * Ends our children when we die without a word: a small shell that holds the list of their process groups and reads
 * from a pipe of ours. The pipe's end is our death, however it came; by then the children have seen the end of their
 * input too, so they get a moment to leave in order. What left its group is found by the marker in its environment.
 */
const SCRIPT = `
trap '' HUP INT TERM
groups=' '
while read -r op group marker; do
  case $op in
    +) groups="$groups$group:$marker " ;;
    -) case $groups in *" $group:"*) rest="\${groups#* $group:}"; groups="\${groups%% $group:*} \${rest#* }" ;; esac ;;
  esac
done
[ "$groups" = ' ' ] && exit 0
end() {
  marked=
  for one in $groups; do
    kill -s "$1" -- "-\${one%%:*}" 2>/dev/null
    marked="$marked -e ${MARKER}=\${one#*:}"
  done
  [ -d /proc/self ] || return
  for file in $(grep -l -s -F $marked /proc/[0-9]*/environ); do
    pid="\${file#/proc/}"
    kill -s "$1" "\${pid%/environ}" 2>/dev/null
  done
}
sleep 0.7
end TERM
sleep 0.7
end KILL
exit 0
`;

let shell: ChildProcess | undefined;

/** Process groups with the markers of what belongs to them. */
const guarded = new Map<number, string>();

function tell(line: string): void {
  if (process.platform === 'win32') return; // children die with their job object
  if (shell) return void shell.stdin?.write(line);
  shell = start();
  for (const [group, marker] of guarded) shell.stdin?.write(entry(group, marker));
}

function start(): ChildProcess {
  // In a group of its own, so that Ctrl-C at a terminal does not reach it.
  const started = spawn('/bin/sh', ['-c', SCRIPT], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: baseEnvironment(), // without the marker of a proxy above this one
  });
  // The next child brings another one, which guards all.
  const ended = () => {
    if (shell === started) shell = undefined;
  };
  const failed = (error: Error) => {
    log.downstream.warn(`Children are not guarded against a crash of the proxy: ${error.message}`);
    ended();
  };
  started.on('error', failed);
  started.stdin?.on('error', failed);
  started.on('exit', ended);
  started.unref();
  if (started.stdin instanceof Socket) started.stdin.unref();
  return started;
}

const entry = (group: number, marker: string) => `+ ${group} ${marker}\n`;

/** From now on the process group ends when this process does, and with it whatever carries its marker. */
export function guard(group: number, marker = 'none'): void {
  guarded.set(group, marker);
  tell(entry(group, marker));
}

/** The process group is gone by itself. */
export function release(group: number): void {
  guarded.delete(group);
  tell(`- ${group}\n`);
}
