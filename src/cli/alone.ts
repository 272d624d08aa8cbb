import { loadConfig } from '../config/load.js';
import { findConfigFile } from '../config/places.js';
import type { Config, ListenConfig } from '../config/schema.js';
import { ProxyError } from '../errors.js';
import type { LogLevel } from '../log-levels.js';
import { log, setLogLevel } from '../logger.js';
import { SessionProxy } from '../proxy.js';
import { VERSION } from '../version.js';
import { EXIT_FAILED } from './exit.js';

export interface ServeOptions {
  config?: string;
  http?: string | true;
  stdio?: true;
  session?: string;
  keeper: boolean;
  daemon: boolean;
  /** Started by a shim, for clients on pipes. */
  asDaemon?: true;
  logLevel: LogLevel;
}

/** Serves in this very process. */
export async function serveAlone(options: ServeOptions, stdio: boolean): Promise<void> {
  const http = options.http !== undefined || !stdio;
  const config = readConfig(options, http);
  const proxy = new SessionProxy({ config });
  onSignals(() => proxy.stop());
  if (http) {
    const url = await proxy.listen().catch(async (error: unknown) => {
      await proxy.stop();
      throw error;
    });
    sayServing(config, url);
  }
  if (stdio) {
    await proxy.serveStdio(process.stdin, process.stdout, options.session);
    await proxy.stop();
    process.exit();
  }
}

/** @throws {ProxyError} CONFIG_INVALID */
export function readConfig(options: ServeOptions, http: boolean): Config {
  setLogLevel(options.logLevel);
  const config = loadConfig(options.config ?? findConfigFile());
  for (const warning of config.warnings) log.config.warn(warning);
  return http ? withAddress(config, options.http) : config;
}

/** The first signal stops in order, the second at once. */
export function onSignals(end: () => Promise<void>): void {
  let signals = 0;
  const stop = () => {
    signals += 1;
    if (signals > 1) process.exit(EXIT_FAILED); // asked twice: at once; the guardian ends what is left
    // Explicitly: an open pipe of a client, or of a process that left our reach, would hold the process for ever.
    void end().finally(() => process.exit());
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

export function sayServing(config: Config, url: string): void {
  console.error(`mcp-session-proxy ${VERSION} listening on ${url}`);
  console.error(`Servers, started on first use: ${config.servers.map(({ name }) => name).join(', ')}`);
}

/** `--http HOST:PORT`, `--http PORT` and `--http` alone. */
function withAddress(config: Config, http: string | true | undefined): Config {
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
