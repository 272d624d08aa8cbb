import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemClock } from '../clock.js';
import { findConfigFile, stateFolderOf } from '../config/places.js';
import type { Config } from '../config/schema.js';
import { messageOf, ProxyError } from '../errors.js';
import { Control } from '../daemon/control.js';
import { canListenIn, listenIn, logIn, socketIn } from '../daemon/find.js';
import { KeeperLink } from '../keeper/link.js';
import { log } from '../logger.js';
import { SessionProxy } from '../proxy.js';
import { VERSION } from '../version.js';
import { onSignals, readConfig, sayServing, type ServeOptions } from './alone.js';
import { surviveSilence } from './serve.js';

/** `mcp-session-proxy worker`: what `serve` starts, and starts again. */
export async function work(options: ServeOptions): Promise<void> {
  surviveSilence();
  const link = new KeeperLink();
  try {
    const file = resolve(options.config ?? findConfigFile());
    const read = fingerprintOf(file);
    const config = readConfig({ ...options, config: file }, true);
    const { first, ...inherited } = await link.takeOver();
    const proxy = new SessionProxy({
      config,
      succession: {
        keeper: process.ppid,
        ...inherited,
        spawn: link.spawn,
        remember: link.remember,
        bind: (server, address) =>
          link.listen(server, address.path === undefined ? 'http' : 'local', address),
      },
    });
    onSignals(() => proxy.stop());
    link.onleave = () => void proxy.handOver(() => link.release()).finally(() => process.exit());
    await proxy.takeOver();
    try {
      const onPort = !options.asDaemon || options.http !== undefined;
      const url = onPort ? await proxy.listen() : null;
      // Last: whoever reaches it finds all of the proxy.
      await serveLocally(proxy, link, options, config, url, () => fingerprintOf(file) !== read);
      if (first && url !== null) sayServing(config, url);
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    if (!first) log.proxy.info('A new worker goes on where the last one ended.');
  } catch (error) {
    link.giveUp(messageOf(error));
    throw error;
  }
}

/**
 * On the socket by which shims and commands find the proxy of a config.
 * @throws {ProxyError} PORT_IN_USE when a daemon finds another proxy there
 */
async function serveLocally(
  proxy: SessionProxy,
  link: KeeperLink,
  { asDaemon, http }: ServeOptions,
  config: Config,
  url: string | null,
  changed: () => boolean,
): Promise<void> {
  const folder = stateFolderOf(config.file);
  if (!canListenIn(folder)) return;
  const door = proxy.door();
  const keeper = process.ppid;
  const control = new Control({
    clock: systemClock,
    about: {
      version: VERSION,
      pid: keeper,
      worker: process.pid,
      daemon: asDaemon === true,
      config: config.file,
      socket: socketIn(folder),
      log: asDaemon ? logIn(folder) : null,
      url,
    },
    changed,
    running: async () => Number((await door.stats()).running),
    upgrade: (program) => link.upgrade(program),
    stop: () => process.kill(keeper, 'SIGTERM'),
    // Nobody could start one that is reached by its port.
    idle: asDaemon && http === undefined ? config.daemon.idle : undefined,
  });
  try {
    if (await listenIn(folder, (path) => proxy.listenLocally(path, control.routes))) return;
    const text = `Another proxy of this config is on the socket ${socketIn(folder)}: mcp-session-proxy status tells which.`;
    if (asDaemon) throw new ProxyError('PORT_IN_USE', text);
    log.proxy.warn(`${text} Clients on pipes are served by that one.`);
  } catch (error) {
    if (asDaemon) throw error;
    log.proxy.warn(`Clients on pipes, status, stop and upgrade do not find this proxy: ${messageOf(error)}.`);
  }
}

function fingerprintOf(file: string): string {
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } catch (error) {
    return messageOf(error); // reading it in earnest says so
  }
}
