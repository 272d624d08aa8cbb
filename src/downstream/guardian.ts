import { spawn, type ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { log } from '../logger.js';

/**
 * Ends our children when we die without a word: a small shell that holds the list of their process groups and reads
 * from a pipe of ours. The pipe's end is our death, however it came; by then the children have seen the end of their
 * input too, so they get a moment to leave in order.
 */
const SCRIPT = `
trap '' HUP INT TERM
groups=' '
while read -r op group; do
  case $op in
    +) groups="$groups$group " ;;
    -) case $groups in *" $group "*) groups="\${groups%% $group *} \${groups#* $group }" ;; esac ;;
  esac
done
[ "$groups" = ' ' ] && exit 0
sleep 0.7
for group in $groups; do kill -s TERM -- "-$group" 2>/dev/null; done
sleep 0.7
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
exit 0
`;

let shell: ChildProcess | undefined;

function tell(line: string): void {
  if (process.platform === 'win32') return; // children die with their job object
  if (!shell) {
    // In a group of its own, so that Ctrl-C at a terminal does not reach it.
    shell = spawn('/bin/sh', ['-c', SCRIPT], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    const failed = (error: Error) =>
      log.downstream.warn(`Children are not guarded against a crash of the proxy: ${error.message}`);
    shell.on('error', failed);
    shell.stdin?.on('error', failed);
    shell.on('exit', () => (shell = undefined));
    shell.unref();
    if (shell.stdin instanceof Socket) shell.stdin.unref();
  }
  shell.stdin?.write(line);
}

/** From now on the process group ends when this process does. */
export function guard(group: number): void {
  tell(`+ ${group}\n`);
}

/** The process group is gone by itself. */
export function release(group: number): void {
  tell(`- ${group}\n`);
}
