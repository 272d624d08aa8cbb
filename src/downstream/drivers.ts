import type { Clock } from '../clock.js';
import type { ProcessRegister } from './child.js';
import { createCompanions } from './companions.js';
import { createConnect, type Lent } from './connect.js';
import { memoryOf } from './strays.js';

/** How servers and what runs beside them are really started, as the sessions take it. */
export function driversOf(clock: Clock, register: ProcessRegister, lent: Lent = {}) {
  return {
    connect: createConnect(clock, register, lent),
    companionsOf: createCompanions({ clock, register, spawn: lent.spawn }),
    memoryOf,
  };
}
