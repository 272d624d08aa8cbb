/**
 * @import { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
 * @import { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js'
 */

/**
 * All messages of one session, in order, so that a client can come back for what it missed. An event ID is the
 * message's place in the log, counted from 1.
 *
 * @implements {EventStore}
 */
export class EventLog {
  /** @type {{ streamId: string, message: JSONRPCMessage }[]} */
  #events = [];

  /**
   * @param {string} streamId
   * @param {JSONRPCMessage} message
   */
  async storeEvent(streamId, message) {
    return String(this.#events.push({ streamId, message }));
  }

  /** @param {string} eventId */
  async getStreamIdForEventId(eventId) {
    return this.#events[Number(eventId) - 1]?.streamId;
  }

  /**
   * @param {string} lastEventId known to exist: the transport asks `getStreamIdForEventId` first
   * @param {{ send: (eventId: string, message: JSONRPCMessage) => Promise<void> }} to
   */
  async replayEventsAfter(lastEventId, { send }) {
    const { streamId } = this.#events[Number(lastEventId) - 1];
    for (let place = Number(lastEventId); place < this.#events.length; place++) {
      const event = this.#events[place];
      if (event.streamId === streamId) await send(String(place + 1), event.message);
    }
    return streamId;
  }
}
