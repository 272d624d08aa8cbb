import type { Principal } from '../auth/principal.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Fields } from '../protocol/messages.js';
import type { Attached, SessionManager } from '../session/manager.js';

/** How long `initialize` waits for servers that were never started before, milliseconds; clients give up after ten. */
const FIRST_START_WAIT = 3000;

/**
 * What every legacy edge does with `initialize`: a session for a stranger, the same one for a client that is known.
 * No server is started for it, but those that nobody knows yet.
 */
export async function introduce(
  manager: SessionManager,
  client: ClientProfile,
  who: Principal | Attached,
  name?: string,
): Promise<{ result: Fields; attached: Attached }> {
  let attached: Attached;
  if ('session' in who) {
    attached = who;
    manager.introduce(who.attachment, client);
  } else if (name === undefined) {
    attached = manager.attach(manager.create(who), client, true);
  } else {
    attached = manager.attach(manager.open(who, name), client, false);
  }
  const { session } = attached;
  if (!session.described) {
    let stop = () => {};
    const enough = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, FIRST_START_WAIT);
      stop = () => clearTimeout(timer);
    });
    await Promise.race([session.servers.start(client), enough]);
    stop();
  }
  const result = { protocolVersion: client.protocolVersion, ...session.describe() };
  return { result, attached };
}
