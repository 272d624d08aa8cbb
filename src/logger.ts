import { pino, type Logger } from 'pino';
import type { LogLevel } from './log-levels.js';
import { redact } from './secrets.js';

/**
 * Logging for the whole program: one logger a room, all on stderr (in stdio mode stdout belongs to the protocol),
 * every line cleaned of secrets at the one place where it is written.
 */

const ROOMS = ['config', 'store', 'downstream', 'session', 'upstream', 'proxy'] as const;
type Room = (typeof ROOMS)[number];

const LABELS: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'WARN',
  50: 'ERROR',
  60: 'FATAL',
};

/** For people at a terminal: time, level, room, sentence, then the fields. */
function readable(line: string): string {
  const { level, time, room, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(Number(time)).toTimeString().slice(0, 8);
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `${clock} ${LABELS[Number(level)] ?? String(level)} ${String(room)}: ${String(msg)}${rest.join('')}\n`;
}

const root = pino(
  { base: null, level: 'info' },
  {
    write(line: string) {
      const clean = redact(line);
      process.stderr.write(process.stderr.isTTY ? readable(clean) : clean);
    },
  },
);

/** The logger of each room. */
export const log = Object.fromEntries(ROOMS.map((room) => [room, root.child({ room })])) as Record<
  Room,
  Logger
>;

/** Sets what is logged, for every room. */
export function setLogLevel(level: LogLevel): void {
  for (const room of ROOMS) log[room].level = level;
}
