import { CommanderError } from 'commander';
import { ProxyError, type ErrorCode } from '../errors.js';
import { redact } from '../secrets.js';

/** Exit codes: 0 done, 1 something failed, 2 the config or the command line is at fault. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** What no repetition mends, only another config or command line. */
const USAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONFIG_INVALID',
  'PORT_IN_USE',
  'INVALID_PARAMS',
  'SESSION_NAME_INVALID',
  'STATE_KEY_INVALID',
  'STATE_VALUE_INVALID',
]);

/** Runs the command line; what fails ends with one message instead of a stack, and the exit code that belongs to it. */
export async function guarded(run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (error instanceof CommanderError) {
      // Its message, or the help that was asked for, is printed.
      if (error.exitCode !== 0) process.exitCode = EXIT_USAGE;
    } else if (error instanceof ProxyError) {
      console.error(redact(`mcp-session-proxy: ${error.message}`));
      process.exitCode = USAGE.has(error.code) ? EXIT_USAGE : EXIT_FAILED;
    } else throw error;
  }
}
