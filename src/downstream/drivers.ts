import type { Clock } from '../clock.js';
import type { ProcessRegister } from './child.js';
import { createCompanions } from './companions.js';
import { createConnect, type Lent } from './connect.js';
import { patient } from './patience.js';
import { spawnHere } from './process.js';
import { memoryOf } from './strays.js';

/** How servers and what runs beside them are really started, as the sessions take it. */
export function driversOf(clock: Clock, register: ProcessRegister, lent: Lent = {}) {
  const spawn = patient(lent.spawn ?? spawnHere, clock);
  return {
    connect: createConnect(clock, register, { ...lent, spawn }),
    companionsOf: createCompanions({ clock, register, spawn }),
    memoryOf,
  };
}
