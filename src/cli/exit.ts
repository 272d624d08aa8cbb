import { ProxyError } from '../errors.js';
import { redact } from '../logger.js';

/** Exit codes: 0 done, 1 something failed, 2 the config or the command line is at fault. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** A command that ends with one message instead of a stack, and the exit code that belongs to it. */
export function guarded<Options>(
  run: (options: Options) => Promise<void> | void,
): (options: Options) => Promise<void> {
  return async (options) => {
    try {
      await run(options);
    } catch (error) {
      if (!(error instanceof ProxyError)) throw error;
      console.error(redact(`mcp-session-proxy: ${error.message}`));
      process.exitCode = EXIT_USAGE;
    }
  };
}
