import type { Door } from '../admin/door.js';
import { createLocalAuthenticate } from '../auth/authenticate.js';
import type { Config } from '../config/schema.js';
import { SessionProxy } from '../proxy.js';

/** The door of a proxy in this process, which starts servers only when it must, and is stopped with the door. */
export async function openDoor(config: Config, token: string | undefined): Promise<Door> {
  // The same token means the same principal whether the proxy runs or not.
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const who = await createLocalAuthenticate(config.auth)(headers);
  const proxy = new SessionProxy({ config });
  const door = proxy.door(who);
  return {
    ...door,
    [Symbol.asyncDispose]: async () => {
      const { running } = await door.stats();
      await proxy.stop();
      if (running === 0) return;
      console.error(
        'mcp-session-proxy: no proxy runs here, so the servers that this command started ended with it.',
      );
    },
  };
}
