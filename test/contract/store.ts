import { describe } from 'vitest';
import { setLogLevel } from '../../src/logger.js';
import { keepsEvents } from './store/events.js';
import { keepsProcesses } from './store/processes.js';
import { listsSessions } from './store/lists.js';
import type { Medium } from './store/medium.js';
import { keepsSessions } from './store/sessions.js';
import { keepsState } from './store/state.js';
import { keepsStreams } from './store/streams.js';
import { writesTogether } from './store/writes.js';

// Failing writes are part of the duties.
setLogLevel('silent');

/** What any store owes the proxy; a driver's test is one call of this for each medium. */
export function storeDuties(name: string, medium: Medium): void {
  describe(name, () => {
    describe('keeps sessions', () => keepsSessions(medium));
    describe('lists sessions', () => listsSessions(medium));
    describe('keeps state', () => keepsState(medium));
    describe('writes together', () => writesTogether(medium));
    describe('keeps streams', () => keepsStreams(medium));
    describe('keeps events', () => keepsEvents(medium));
    describe('keeps processes', () => keepsProcesses(medium));
  });
}
