import { Daemon } from '../keeper/daemon.js';
import { socketIn } from '../keeper/find-daemon.js';
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
    const config = readConfig(options, true);
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
    const { daemonIn } = options;
    if (daemonIn !== undefined) await serveShims(proxy, link, daemonIn);
    if (daemonIn === undefined || options.http !== undefined) {
      const url = await proxy.listen().catch(async (error: unknown) => {
        await proxy.stop();
        throw error;
      });
      if (first) sayServing(config, url);
    }
    if (!first) log.proxy.info('A new worker goes on where the last one ended.');
  } catch (error) {
    link.giveUp();
    throw error;
  }
}

async function serveShims(proxy: SessionProxy, link: KeeperLink, folder: string): Promise<void> {
  const door = proxy.door();
  const daemon = new Daemon({
    version: VERSION,
    serve: (socket, session) => proxy.serveStdio(socket, socket, session),
    running: async () => Number((await door.stats()).running),
    stop: () => process.kill(process.ppid, 'SIGTERM'),
  });
  await link.listen(daemon.server, 'shims', { path: socketIn(folder) });
}
