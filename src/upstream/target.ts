import { profileOfEnvelope } from '../protocol/client.js';
import type { Notification, Request } from '../protocol/messages.js';
import { routingOf } from '../protocol/methods.js';
import type { Correlator, Facts, Target } from '../session/correlate.js';

/** The session that a request of 2026-07-28 is for; each says so anew, and holds no id of ours. */
export function modernTarget(
  correlator: Correlator,
  facts: Facts,
  { method, params }: Request | Notification,
): Target {
  const unnamed = isListing(method) ? 'listing' : 'temporary';
  return correlator.target({ ...facts, known: undefined, unnamed }, profileOfEnvelope(params));
}

/** Whether a request only asks what there is. */
function isListing(method: string): boolean {
  return method === 'server/discover' || method === 'subscriptions/listen' || routingOf(method).by === 'each';
}
