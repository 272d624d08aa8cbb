import { ProxyError } from '../errors.js';
import type { ClientProfile } from '../protocol/client.js';
import type { Fields } from '../protocol/messages.js';
import type { Attached, Attachments } from '../session/attachments.js';
import type { Correlator, Facts } from '../session/correlate.js';
import type { Session } from '../session/session.js';
import type { HintReader } from './hints.js';

/** How long `initialize` waits for servers that were never started before, milliseconds; clients give up after ten. */
const FIRST_START_WAIT = 3000;

export interface IntroduceOptions {
  correlator: Correlator;
  attachments: Attachments;
  hints: HintReader;
}

/**
 * What every legacy edge does with `initialize`: a session for a stranger, the same one for a client that is known.
 * No server is started for it, but those that nobody knows yet.
 * @param key by which the client is to be known, where it has one of its own
 * @throws {ProxyError} as finding or making a session does
 */
export async function introduce(
  { correlator, attachments }: IntroduceOptions,
  client: ClientProfile,
  facts: Facts,
  key?: string,
): Promise<{ result: Fields; attached: Attached }> {
  const attached = facts.known ?? attach();
  if (facts.known) attachments.introduce(facts.known.attachment, client);
  const { session } = attached;
  await meetServers(session, client);
  return { result: { protocolVersion: client.protocolVersion, ...session.describe() }, attached };

  function attach(): Attached {
    const correlated = correlator.correlate({ ...facts, unnamed: 'lasting' });
    if (!correlated?.session) throw new ProxyError('SESSION_REQUIRED', 'Say which session you mean.');
    return attachments.attach(correlated.session, client, correlated.own, key);
  }
}

/** Starts servers that nobody knows yet, so that the session can say what they offer; not for long. */
export async function meetServers(session: Session, client: ClientProfile): Promise<void> {
  if (session.described) return;
  let stop = () => {};
  const enough = new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, FIRST_START_WAIT);
    stop = () => clearTimeout(timer);
  });
  await Promise.race([session.servers.start(client), enough]);
  stop();
}
