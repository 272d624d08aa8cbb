import { z } from 'zod';
import { count, duration, size } from './units.js';

/** What the config says of a server's state: how it is saved, brought back and given up. Nothing here knows a server. */

export const pattern = z.string().refine((text) => {
  try {
    return new RegExp(text, 'm') instanceof RegExp;
  } catch {
    return false;
  }
}, 'must be a regular expression');

const tools = z.array(z.string());
const args = z.record(z.string(), z.json());

const capture = z
  .strictObject({
    regex: pattern.optional().describe("Finds the value in the result's text: group 1, or the whole match."),
    path: z.string().optional().describe('Finds it in the result itself: keys with dots, * for every item.'),
    within: pattern.optional().describe('Looks only at that part of the text: group 1, or the whole match.'),
    all: z.boolean().default(false).describe('Takes every match of the regular expression, as a list.'),
    as: z.enum(['text', 'number']).default('text').describe('What it is kept as.'),
    default: z.string().optional().describe('The value of a match in which group 1 took no part.'),
  })
  .refine(
    ({ regex, path }) => (regex === undefined) !== (path === undefined),
    'must have either "regex" or "path"',
  );

const condition = {
  if: z.string().optional().describe('Only when this value is there, like capture.tabs.0.'),
  unless: z.string().optional().describe('Only when this value is not there.'),
  ifFile: z.string().optional().describe('Only when this file exists.'),
};

const step = z.strictObject({
  tool: z.string().describe('The tool to call, by the name its server gives it.'),
  args: args
    .default({})
    .describe('Its arguments; ${session.…}, ${checkpoint.slot}, ${capture.…} and ${item} are filled in.'),
  ...condition,
  forEach: z.string().optional().describe('Once for each item of this list.'),
  skip: count(0).default(0).describe('But for so many at its beginning.'),
  capture: z.record(z.string(), capture).default({}).describe('Values to keep, by name.'),
});

const processKeys = {
  stdin: z.literal('close').optional().describe('Ends the input of the process.'),
  signal: z
    .enum(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGKILL'])
    .optional()
    .describe('Sends a signal.'),
  target: z.enum(['group', 'process']).default('group').describe('To all it started, or to itself alone.'),
  wait: duration().default(2000).describe('Longest wait for what the step is to bring about.'),
};

/** A step of the stop of a process that takes no calls. */
export const processStep = z
  .strictObject(processKeys)
  .refine(
    ({ stdin, signal }) => (stdin === undefined) !== (signal === undefined),
    'must have either "stdin" or "signal"',
  );

const stopStep = z
  .strictObject({
    tool: z.string().optional().describe('Calls a tool.'),
    args: args.default({}).describe('Its arguments.'),
    ...processKeys,
  })
  .refine(
    ({ tool, stdin, signal }) => [tool, stdin, signal].filter((one) => one !== undefined).length === 1,
    'must have exactly one of "tool", "stdin" and "signal"',
  );

/** Keys of a server entry. */
export const recovery = {
  checkpoint: z
    .strictObject({
      calls: z.array(step).describe('Tool calls that save the state, in order.'),
      after: tools.default([]).describe('Made after calls of these tools; * stands for any text.'),
      every: duration().optional().describe('Made so often too, when there were other calls.'),
      dropAfter: tools.default([]).describe('Calls of these tools give the state up.'),
    })
    .optional()
    .describe('How the state of the server is saved.'),
  restore: z
    .strictObject({
      calls: z.array(step).default([]).describe('Tool calls that bring it back, in order.'),
      note: z.string().optional().describe('What clients are told besides: what cannot be brought back.'),
    })
    .optional()
    .describe('How a server that was started anew gets its state back; with a note alone, by itself.'),
  replay: z
    .strictObject({ allow: tools.default([]).describe('Tools whose calls are recorded and sent again.') })
    .prefault({})
    .describe('Only for tools that may be called twice without harm.'),
  lostWhen: z
    .array(pattern)
    .default([])
    .describe('Texts of results that mean: the state is gone though the server lives.'),
  probe: z
    .strictObject({
      tool: z.string().describe('The tool to call, by the name its server gives it.'),
      args: args.default({}).describe('Its arguments.'),
      lostIf: pattern.describe('The state is gone when the result has this text.'),
      unless: condition.unless,
    })
    .optional()
    .describe('A cheap call that tells a loss nobody speaks of; made before every call.'),
  stop: z
    .array(stopStep)
    .default([])
    .describe('How it is stopped, step by step. Without it: end of input, SIGTERM, SIGKILL.'),
  recycle: z
    .strictObject({
      age: duration().optional().describe('After it has run for so long.'),
      memory: size().optional().describe('When its processes hold so much memory; Linux.'),
      idle: duration().optional().describe('When nobody has called it for so long.'),
    })
    .prefault({})
    .describe('When it is replaced, between calls.'),
  roots: z
    .enum(['session', 'client', 'none'])
    .default('client')
    .describe("The roots it is told: the session's folder, those of the client, or none."),
};

export type RecoveryConfig = z.output<z.ZodObject<typeof recovery>>;
export type Step = z.output<typeof step>;
export type Capture = z.output<typeof capture>;
export type StopStep = z.output<typeof stopStep>;

/** Problems that only several keys together show. */
export function checkRecovery(
  value: RecoveryConfig & { scope: string; url?: string | undefined },
  wrong: (key: keyof RecoveryConfig, message: string) => void,
): void {
  const keeps = value.checkpoint ?? value.restore ?? value.probe;
  if (value.scope === 'call' && keeps) wrong('checkpoint', 'has no sense in scope "call": nothing is kept');
  const firstOther = value.stop.findIndex(({ tool }) => tool === undefined);
  const lastTool = value.stop.findLastIndex(({ tool }) => tool !== undefined);
  if (firstOther >= 0 && firstOther < lastTool)
    wrong('stop', 'must call tools first: afterwards the server hears no more');
  if (value.url !== undefined && firstOther >= 0)
    wrong('stop', 'can call tools only: a remote server has no process');
  if (value.url !== undefined && value.recycle.memory !== undefined)
    wrong('recycle', 'cannot have "memory": a remote server has no process here');
}
