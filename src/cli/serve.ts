import { fstatSync } from 'node:fs';
import { findConfigFile, loadConfig } from '../config/load.js';
import type { Config, ListenConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';
import { log, setLogLevel, type LogLevel } from '../logger.js';
import { SessionProxy } from '../proxy.js';
import { VERSION } from '../version.js';
import { EXIT_FAILED } from './exit.js';

interface ServeOptions {
  config?: string;
  http?: string | true;
  stdio?: true;
  session?: string;
  logLevel: LogLevel;
}

/** `mcp-session-proxy serve`. */
export async function serve(options: ServeOptions): Promise<void> {
  setLogLevel(options.logLevel);
  const config = loadConfig(options.config ?? findConfigFile());
  for (const warning of config.warnings) log.config.warn(warning);
  const stdio = options.stdio ?? (options.http === undefined && stdinIsPipe());
  const http = options.http ?? !stdio;
  if (options.session !== undefined && !stdio) {
    throw new ProxyError(
      'CONFIG_INVALID',
      '--session names the session of a client on stdin: use it with --stdio.',
    );
  }

  // Whoever read our log is gone; that is no reason to go too.
  process.stderr.on('error', () => {});
  const proxy = new SessionProxy({ config: withAddress(config, http) });
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) process.exit(EXIT_FAILED); // asked twice: at once; the guardian ends what is left
    // Explicitly: an open pipe of a client, or of a process that left our reach, would hold the process for ever.
    void proxy.stop().finally(() => process.exit());
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  if (http !== false) {
    const url = await proxy.listen().catch(async (error: unknown) => {
      await proxy.stop();
      throw error;
    });
    console.error(`mcp-session-proxy ${VERSION} listening on ${url}`);
    console.error(`Servers, started on first use: ${config.servers.map(({ name }) => name).join(', ')}`);
  }
  if (stdio) {
    await proxy.serveStdio(process.stdin, process.stdout, options.session);
    await proxy.stop();
    process.exit();
  }
}

function stdinIsPipe(): boolean {
  try {
    const stdin = fstatSync(0);
    return stdin.isFIFO() || stdin.isSocket();
  } catch {
    return false; // closed
  }
}

/** `--http HOST:PORT`, `--http PORT` and `--http` alone. */
function withAddress(config: Config, http: string | boolean): Config {
  if (typeof http !== 'string') return config;
  const [, host, port] = /^(?:(\[[0-9a-f:]+\]|[^:]+):)?(\d{1,5})$/i.exec(http) ?? [];
  if (port === undefined || Number(port) > 65535) {
    throw new ProxyError(
      'CONFIG_INVALID',
      `--http ${http}: expected HOST:PORT or PORT, like 127.0.0.1:8808.`,
    );
  }
  const listen: ListenConfig = { ...config.listen, port: Number(port) };
  if (host !== undefined) listen.host = host.replace(/^\[|\]$/g, '');
  return { ...config, listen };
}
