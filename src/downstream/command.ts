import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ProxyError } from '../errors.js';

/**
 * Runs a command of the user's on this terminal, to its end.
 * @param env its environment
 * @returns its exit code
 * @throws {ProxyError} INVALID_PARAMS when it cannot be started
 */
export async function runCommand(command: string, args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit', env });
  // Whoever started it has something to do after it, however it ends. A Ctrl-C reaches both from the terminal.
  const tell = (signal: NodeJS.Signals) => {
    if (signal !== 'SIGINT') child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, tell);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', ({ message }) =>
        reject(new ProxyError('INVALID_PARAMS', `The command cannot be started: ${message}.`)),
      );
      // As a shell has it: 128 and the number of the signal.
      child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    for (const signal of signals) process.off(signal, tell);
  }
}
