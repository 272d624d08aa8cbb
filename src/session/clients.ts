import type { Notification } from '../protocol/messages.js';
import type { Attachment } from './attachment.js';
import type { Outlet } from './exchange.js';

/** Hears what concerns a session and no request, without being asked anything. */
export interface Listener {
  notify(notification: Notification): void;
  /** The session is over. */
  close(): void;
}

/** Who is at a session just now: attachments, and those who only listen. */
export class Clients {
  readonly attachments = new Map<string, Attachment>();
  readonly listeners = new Set<Listener>();

  /** Whether anybody would hear of something. */
  get listening(): boolean {
    return (
      this.listeners.size > 0 ||
      [...this.attachments.values()].some(({ outlet }) => outlet?.connected === true)
    );
  }

  notify(notification: Notification): void {
    for (const { outlet } of this.attachments.values()) outlet?.notify(notification);
    for (const listener of this.listeners) listener.notify(notification);
  }

  /** A client that can be asked for what needs this capability: the one that came last. */
  outlet(capability: string | undefined): Outlet | undefined {
    return [...this.attachments.values()]
      .map(({ outlet }) => outlet)
      .findLast((outlet) => outlet && (capability === undefined || capability in outlet.client.capabilities));
  }

  close(): void {
    for (const { outlet } of this.attachments.values()) outlet?.close?.();
    for (const listener of this.listeners) listener.close();
  }
}
