import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';

/** @import { ChildProcess } from 'node:child_process' */

const READY = /listening on (http:\/\/\S+?\/mcp)/;
const READY_MS = 20_000;
const GRACE_MS = 10_000;

/** The Node processes of one target. What they print is kept in `<directory>/<name>.log`. */
export class Processes {
  #directory;
  #interrupted;
  /** @type {ChildProcess[]} */
  #children = [];

  /**
   * @param {string} directory
   * @param {AbortSignal} interrupted
   */
  constructor(directory, interrupted) {
    this.#directory = directory;
    this.#interrupted = interrupted;
  }

  /**
   * Starts a server that prints `listening on URL` on either stream.
   *
   * @param {string} name
   * @param {string[]} args
   * @returns {Promise<string>} the URL
   */
  serve(name, args) {
    return new Promise((resolve, reject) => {
      const { child, output } = this.#start(name, args, () => {
        const ready = READY.exec(output.join(''));
        if (ready) resolve(ready[1]);
      });
      const fail = (/** @type {string} */ what) => reject(new Error(`${name} ${what}:\n${output.join('')}`));
      child.once('error', reject);
      child.once('exit', (code, signal) => fail(`ended (${code ?? signal}) before it was ready`));
      setTimeout(() => fail('was not ready in time'), READY_MS).unref();
    });
  }

  /**
   * Runs a command to its end.
   *
   * @param {string} name
   * @param {string[]} args
   * @returns {Promise<string>} what it printed
   */
  async run(name, args) {
    const { child, output } = this.#start(name, args);
    await once(child, 'close');
    return output.join('');
  }

  /** Stops all that still run, the last started first. */
  async stop() {
    for (const child of this.#children.toReversed()) {
      const running = child.pid !== undefined && child.exitCode === null && child.signalCode === null;
      if (!running) continue;
      const gone = once(child, 'exit');
      child.kill();
      const impatient = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
      await gone;
      clearTimeout(impatient);
    }
  }

  /**
   * @param {string} name
   * @param {string[]} args
   * @param {() => void} [onOutput]
   */
  #start(name, args, onOutput) {
    const child = spawn(process.execPath, args, {
      cwd: this.#directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, XDG_STATE_HOME: this.#directory },
      signal: this.#interrupted,
    });
    this.#children.push(child);
    /** @type {string[]} */
    const output = [];
    const log = createWriteStream(join(this.#directory, `${name}.log`));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk) => {
        output.push(chunk);
        log.write(chunk);
        onOutput?.();
      });
    }
    child.once('close', () => log.end());
    return { child, output };
  }
}
