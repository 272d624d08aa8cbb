import type { AddressInfo } from 'node:net';
import { KeeperLink } from '../keeper/link.js';
import { log } from '../logger.js';
import { SessionProxy } from '../proxy.js';
import { onSignals, readConfig, sayServing, type ServeOptions } from './alone.js';

/** `mcp-session-proxy worker`: what `serve` starts, and starts again. */
export async function work(options: ServeOptions): Promise<void> {
  const link = new KeeperLink();
  try {
    const config = readConfig(options, true);
    const { held, first } = await link.takeOver();
    const proxy = new SessionProxy({
      config,
      succession: {
        keeper: process.ppid,
        held,
        spawn: link.spawn,
        bind: async (server, address) => (await link.listen(server, 'http', address)) as AddressInfo,
      },
    });
    onSignals(() => proxy.stop());
    link.onleave = () => void proxy.handOver(() => link.release()).finally(() => process.exit());
    await proxy.takeOver();
    const url = await proxy.listen().catch(async (error: unknown) => {
      await proxy.stop();
      throw error;
    });
    if (first) sayServing(config, url);
    else log.proxy.info('A new worker goes on where the last one ended.');
  } catch (error) {
    link.giveUp();
    throw error;
  }
}
