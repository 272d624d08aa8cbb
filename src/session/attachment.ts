import type { ClientProfile } from '../protocol/client.js';
import type { Outlet } from './exchange.js';
import type { Running } from './running.js';

/** One client's present link to a session. Many may share one. */
export interface Attachment {
  /** What the store knows it by: no secret, unlike the id the client holds. */
  readonly id: string;
  /** What the client holds. In memory alone; never logged. */
  readonly key: string;
  /** Its own `initialize` made the session, so its DELETE closes it. */
  owner: boolean;
  /** The stream of messages that belong to no request. */
  readonly stream: number;
  client: ClientProfile;
  /** When it was last stored that the client is there, milliseconds since the epoch. */
  usedAt: number;
  readonly running: Running;
  /** Towards the client, on that stream. */
  outlet: (Outlet & { close?(): void }) | undefined;
}
