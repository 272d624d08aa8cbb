import { Keeper } from '../keeper/keeper.js';
import { EXIT_FAILED } from './exit.js';

/** Keeps a worker of this very program running, with the arguments this process was given. */
export async function keep(): Promise<void> {
  const [program = '', ...args] = process.argv.slice(1);
  const rest = args[0] === 'serve' ? args.slice(1) : args;
  const keeper = new Keeper({ program, args: ['worker', ...rest] });
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) process.exit(EXIT_FAILED); // asked twice: at once; the guardian ends what is left
    keeper.stop();
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  // A terminal that is closed sends it too, and means the end.
  process.on('SIGHUP', process.stdin.isTTY ? stop : () => keeper.upgrade());
  process.exit(await keeper.run());
}
