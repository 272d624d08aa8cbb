import { z } from 'zod';
import { pattern, processStep } from './recovery.js';
import { count, duration } from './units.js';

/** Processes beside a server that live as long as its sessions want it, and outlive it when it is started anew. */

const ready = z
  .strictObject({
    http: z.string().optional().describe('It answers at this URL.'),
    tcp: z
      .union([count(1, 65_535), z.string()])
      .optional()
      .describe('It takes connections on this port of 127.0.0.1.'),
    line: pattern.optional().describe('It writes a line that has this, to stdout or stderr.'),
  })
  .refine(
    ({ http, tcp, line }) => [http, tcp, line].filter((one) => one !== undefined).length === 1,
    'must have exactly one of "http", "tcp" and "line"',
  );

const companion = z.strictObject({
  command: z.string().min(1).describe('Program; started without a shell.'),
  args: z
    .array(z.string())
    .default([])
    .describe('Its arguments. ${companion.NAME.port}, ${session.dir} and the others are filled in.'),
  env: z
    .record(z.string(), z.string())
    .default({})
    .describe('Environment besides HOME, LOGNAME, PATH, SHELL, TERM, USER.'),
  cwd: z.string().optional().describe('Working directory; that of its server by default.'),
  ready: ready
    .optional()
    .describe('How it shows that the server may be started; without it, it need only run.'),
  startTimeout: duration().default(30_000).describe('From its start until then.'),
  stop: z
    .array(processStep)
    .default([])
    .describe('How it is stopped, step by step. Without it: SIGTERM, SIGKILL.'),
  note: z
    .string()
    .optional()
    .describe(
      'What clients are told when the server was started anew and this went on: what is still there.',
    ),
});

const COMPANION_NAME = /^[a-z]{1,32}$/;

export const companions = z
  .record(z.string().regex(COMPANION_NAME, 'must be 1 to 32 letters from a to z'), companion)
  .default({});

export type CompanionEntry = z.output<typeof companion>;

/** One companion, with its folder. */
export interface CompanionConfig extends CompanionEntry {
  cwd: string;
}

/** Problems that only several keys together show. */
export function checkCompanions(
  { companions: beside, scope, url }: { companions: object; scope: string; url?: string | undefined },
  wrong: (key: 'companions', message: string) => void,
): void {
  if (Object.keys(beside).length === 0) return;
  if (url !== undefined) wrong('companions', 'are for local servers');
  if (scope === 'call')
    wrong('companions', 'have no sense in scope "call": there a server ends with its call, and they with it');
}

/** Those of one server, by name, in the order in which they are started. */
export function toCompanions(
  entries: Readonly<Record<string, CompanionEntry>>,
  cwd: string,
  resolve: (path: string) => string,
): Record<string, CompanionConfig> {
  return Object.fromEntries(
    Object.entries(entries).map(([name, entry]) => [
      name,
      { ...entry, cwd: entry.cwd === undefined ? cwd : resolve(entry.cwd) },
    ]),
  );
}
