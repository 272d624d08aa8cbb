import type { Door } from '../admin/door.js';
import { createAuthenticate } from '../auth/authenticate.js';
import { LOCAL_PRINCIPAL, type Principal } from '../auth/principal.js';
import type { Config } from '../config/schema.js';
import { SessionProxy } from '../proxy.js';

/** The door of a proxy in this process, which starts servers only when it must, and is stopped with the door. */
export async function openDoor(config: Config, token: string | undefined): Promise<Door> {
  const who = await principalOf(config, token);
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

/** The same token means the same principal whether the proxy runs or not; without one, whoever may write the store. */
async function principalOf({ auth }: Config, token: string | undefined): Promise<Principal> {
  const checked = auth.trustedHeader === undefined && (auth.tokens.length > 0 || auth.jwt !== undefined);
  if (token === undefined || !checked) return LOCAL_PRINCIPAL;
  return createAuthenticate(auth)({ authorization: `Bearer ${token}` });
}
