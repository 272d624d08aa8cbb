import type { ClientProfile } from '../protocol/client.js';
import type { Attached } from '../session/attachments.js';
import type { Correlator } from '../session/correlate.js';
import type { Outbox } from '../session/outbox.js';
import { LegacyPeer, type Stream } from './legacy.js';

/** One that never introduced itself. */
export const UNKNOWN_CLIENT: Omit<ClientProfile, 'protocolVersion'> = {
  era: 'legacy',
  capabilities: {},
  clientInfo: { name: 'unknown', version: '0' },
};

/** A client over HTTP, with the stream of what belongs to no request. */
export class HttpPeer extends LegacyPeer {
  readonly outbox: Outbox;
  readonly stream: Stream;

  constructor(attached: Attached, outbox: Outbox, correlator: Correlator) {
    const stream: Stream = {
      get open() {
        return outbox.read;
      },
      send: (message) => outbox.send(message),
      close: () => outbox.release(),
    };
    super(attached, stream, correlator);
    this.outbox = outbox;
    this.stream = stream;
  }
}
